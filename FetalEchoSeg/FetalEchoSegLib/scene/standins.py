"""Stand-ins for the pure-Python parts of Slicer that the ``slicer-core`` package leaves out.

They let an unchanged module file be imported and its Logic be used headless: ``slicer.ScriptedLoadableModule``,
``slicer.i18n`` and ``slicer.parameterNodeWrapper``, each only when it is missing. There is no Qt here: a panel
cannot be made from them, and says so.
"""

from __future__ import annotations

import enum
import importlib.util
import sys
import types
import typing
import unittest
from pathlib import Path
from typing import Any


class ScriptedLoadableModule:
    """Description of a module."""

    def __init__(self, parent: Any) -> None:
        self.parent = parent
        self.moduleName = type(self).__name__


class ScriptedLoadableModuleWidget:
    """Panel of a module, which needs the application."""

    def __init__(self, parent: Any = None) -> None:
        raise RuntimeError("module panels need the Slicer application; headless, use the module's Logic class")


class ScriptedLoadableModuleLogic:
    """Functions of a module, with its parameters kept in a scene node that every instance shares."""

    def __init__(self, parent: Any = None) -> None:
        self.mrmlScene = None
        self.moduleName = type(self).__name__.removesuffix("Logic")
        self.isSingletonParameterNode = True

    def getParameterNode(self) -> Any:
        """The module's parameter node, made on the first call and after the scene dropped it."""
        import slicer

        node = slicer.mrmlScene.GetSingletonNode(self.moduleName, "vtkMRMLScriptedModuleNode")
        if node is None:
            return slicer.mrmlScene.AddNode(self.createParameterNode())
        # Closing a scene keeps singletons but resets their attributes.
        node.SetAttribute("ModuleName", self.moduleName)
        return node

    def getAllParameterNodes(self) -> list[Any]:
        """Parameter nodes of this module in the scene."""
        import slicer

        nodes = slicer.util.getNodesByClass("vtkMRMLScriptedModuleNode")
        return [node for node in nodes if node.GetAttribute("ModuleName") == self.moduleName]

    def createParameterNode(self) -> Any:
        """A parameter node that is not in the scene yet."""
        import slicer

        node = slicer.vtkMRMLScriptedModuleNode()
        if self.isSingletonParameterNode:
            node.SetSingletonTag(self.moduleName)
        node.SetAttribute("ModuleName", self.moduleName)
        node.SetName(slicer.mrmlScene.GenerateUniqueName(self.moduleName))
        return node


class ScriptedLoadableModuleTest(unittest.TestCase):
    """Self-test of a module; each ``test_`` method also runs under unittest and pytest."""

    def delayDisplay(self, message: str, msec: int = 0) -> None:
        """Nobody watches: nothing to wait for."""


def tr(text: str) -> str:
    """Text as it stands; there is no translation headless."""
    return text


def translate(_context: str, text: str) -> str:
    """Text as it stands; there is no translation headless."""
    return text


def parameterNodeWrapper(cls: type) -> type:
    """Give the annotated fields of ``cls`` a place in a parameter node.

    Fields may be str, int, float, bool, pathlib.Path, an Enum (stored by name) or an MRML node class (stored as a
    reference); other types raise TypeError here, as they would need the real wrapper.
    """
    hints = typing.get_type_hints(cls)
    for name, kind in hints.items():
        setattr(cls, name, _Parameter(name, kind, getattr(cls, name, None)))

    def __init__(self: Any, parameterNode: Any) -> None:
        self.parameterNode = parameterNode

    cls.__init__ = __init__
    return cls


class _Parameter:
    def __init__(self, name: str, kind: type, default: Any) -> None:
        import slicer

        self.name = name
        self.kind = kind
        self.isNode = issubclass(kind, slicer.vtkMRMLNode)
        if not self.isNode and kind not in (str, int, float, bool, Path) and not issubclass(kind, enum.Enum):
            raise TypeError(f"parameter '{name}' has a type that is not supported headless: {kind}")
        if default is None and not self.isNode:
            default = next(iter(kind)) if issubclass(kind, enum.Enum) else kind()
        self.default = default

    def __get__(self, owner: Any, ownerType: type | None = None) -> Any:
        if owner is None:
            return self
        node = owner.parameterNode
        if self.isNode:
            return node.GetNodeReference(self.name)
        text = node.GetParameter(self.name)
        if not node.HasParameter(self.name):
            return self.default
        if self.kind is bool:
            return text == "True"
        return self.kind[text] if issubclass(self.kind, enum.Enum) else self.kind(text)

    def __set__(self, owner: Any, value: Any) -> None:
        node = owner.parameterNode
        if self.isNode:
            node.SetNodeReferenceID(self.name, value.GetID() if value is not None else None)
        else:
            node.SetParameter(self.name, value.name if isinstance(value, enum.Enum) else str(value))


_MODULES = {
    "ScriptedLoadableModule": (
        ScriptedLoadableModule,
        ScriptedLoadableModuleWidget,
        ScriptedLoadableModuleLogic,
        ScriptedLoadableModuleTest,
    ),
    "i18n": (tr, translate),
    "parameterNodeWrapper": (parameterNodeWrapper,),
}


def install(slicer: types.ModuleType) -> None:
    """Offer each stand-in under its Slicer name, unless the real one can be imported."""
    for name, members in _MODULES.items():
        fullName = f"slicer.{name}"
        if fullName in sys.modules or importlib.util.find_spec(fullName) is not None:
            continue
        module = types.ModuleType(fullName, __doc__)
        for member in members:
            setattr(module, member.__name__, member)
        module.__all__ = [member.__name__ for member in members]
        sys.modules[fullName] = module
        setattr(slicer, name, module)
