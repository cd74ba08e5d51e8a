"""Stand-ins for the pure-Python parts of Slicer that the ``slicer-core`` package leaves out.

They let an unchanged module file be imported and its Logic be used headless: ``slicer.ScriptedLoadableModule``,
``slicer.i18n`` and ``slicer.parameterNodeWrapper``, each only when it is missing. There is no Qt here: a panel
cannot be made from them, and says so.
"""

from __future__ import annotations

import importlib.util
import sys
import types
import unittest
from typing import Any

from . import parameter_nodes


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


_MODULES: dict[str, tuple[Any, ...]] = {
    "ScriptedLoadableModule": (
        ScriptedLoadableModule,
        ScriptedLoadableModuleWidget,
        ScriptedLoadableModuleLogic,
        ScriptedLoadableModuleTest,
    ),
    "i18n": (tr, translate),
    "parameterNodeWrapper": tuple(getattr(parameter_nodes, name) for name in parameter_nodes.__all__),
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
