"""Stand-in for ``slicer.parameterNodeWrapper``, without Qt: typed fields kept as text in a vtkMRMLScriptedModuleNode.

Names and behaviour are those of Slicer; what is not supported here raises TypeError where the class is defined.
"""

from __future__ import annotations

import ast
import enum
import types
import typing
from collections.abc import Callable, Iterable
from pathlib import PurePath
from typing import Annotated, Any

__all__ = [
    "Choice",
    "Decimals",
    "Default",
    "Maximum",
    "Minimum",
    "ObservedList",
    "SingleStep",
    "WithinRange",
    "isParameterPack",
    "parameterNodeWrapper",
    "parameterPack",
]


class Default:
    """Annotation: the first value, or a function that makes it."""

    def __init__(self, value: Any = None, generator: Callable[[], Any] | None = None) -> None:
        self._value, self._generator = value, generator

    @property
    def value(self) -> Any:
        """The first value."""
        return self._value if self._generator is None else self._generator()


class Choice:
    """Annotation: one of these values."""

    def __init__(self, choices: Iterable[Any]) -> None:
        self.choices = list(choices)

    def validate(self, value: Any) -> None:
        """Raises ValueError for other values."""
        if value not in self.choices:
            raise ValueError(f"{value!r} is not one of {self.choices}")


class WithinRange:
    """Annotation: a number from minimum to maximum, both included."""

    def __init__(self, minimum: float, maximum: float) -> None:
        self.minimum, self.maximum = minimum, maximum

    def validate(self, value: Any) -> None:
        """Raises ValueError for other values."""
        if not self.minimum <= value <= self.maximum:
            raise ValueError(f"{value!r} is not within {self.minimum} and {self.maximum}")


class Minimum:
    """Annotation: the smallest number that is valid."""

    def __init__(self, minimum: float) -> None:
        self.minimum = minimum

    def validate(self, value: Any) -> None:
        """Raises ValueError for smaller ones."""
        if value < self.minimum:
            raise ValueError(f"{value!r} is less than {self.minimum}")


class Maximum:
    """Annotation: the largest number that is valid."""

    def __init__(self, maximum: float) -> None:
        self.maximum = maximum

    def validate(self, value: Any) -> None:
        """Raises ValueError for larger ones."""
        if value > self.maximum:
            raise ValueError(f"{value!r} is more than {self.maximum}")


class Decimals:
    """Annotation: digits that a widget shows."""

    def __init__(self, value: int) -> None:
        self.value = value


class SingleStep:
    """Annotation: step of a widget."""

    def __init__(self, value: float) -> None:
        self.value = value


_VALIDATORS = (Choice, WithinRange, Minimum, Maximum)


class Parameter:
    """One field: its type, its annotations, and how its values are kept.

    name         of the field
    kind         type without annotations and without None
    optional     whether None is a value
    annotations  what Annotated carries
    """

    def __init__(self, name: str, annotation: Any, default: Any = None) -> None:
        self.name = name
        kind, self.annotations = _splitAnnotated(annotation)
        self.kind, self.optional = _splitOptional(kind)
        self._default = next((a for a in self.annotations if isinstance(a, Default)), Default(default))
        self.isNode = all(_isNodeClass(k) for k in self.nodeClasses)
        if not self.isNode and not self._isSupported():
            raise TypeError(f"parameter '{name}' has a type that is not supported headless: {annotation}")
        if not self.isNode and not isParameterPack(self.kind):
            self.validate(self.default())

    @property
    def nodeClasses(self) -> tuple[Any, ...]:
        """Members of a union, or the one class."""
        return typing.get_args(self.kind) if _isUnion(self.kind) else (self.kind,)

    @property
    def container(self) -> Any:
        """``list`` for list[int], the type itself otherwise."""
        return typing.get_origin(self.kind) or self.kind

    def element(self) -> Parameter:
        """The parameter that describes an element of a list."""
        (kind,) = typing.get_args(self.kind)
        return Parameter(self.name, kind)

    def _isSupported(self) -> bool:
        if isParameterPack(self.kind):
            return True
        if self.container is list:
            return len(typing.get_args(self.kind)) == 1 and bool(self.element())
        if self.container in (tuple, dict):
            return True
        return self.kind in (str, int, float, bool) or _isEnum(self.kind) or _isPath(self.kind)

    def default(self) -> Any:
        """The value before any was set."""
        if self._default.value is not None:
            return self._default.value
        if self.optional or self.isNode:
            return None
        for annotation in self.annotations:
            if isinstance(annotation, Choice):
                return annotation.choices[0]
            if isinstance(annotation, WithinRange) and not annotation.minimum <= 0 <= annotation.maximum:
                return self.kind(annotation.minimum)
            if isinstance(annotation, Minimum) and annotation.minimum > 0:
                return self.kind(annotation.minimum)
        return next(iter(self.kind)) if _isEnum(self.kind) else self.container()

    def validate(self, value: Any) -> None:
        """Raises TypeError for a value of another type, ValueError for one that an annotation excludes."""
        if value is None and (self.optional or self.isNode):
            return
        expected: Any = self.container
        if self.isNode:
            expected = self.nodeClasses
        elif self.kind is float:
            expected = (float, int)
        elif _isPath(self.kind):
            expected = PurePath
        if not isinstance(value, expected):
            raise TypeError(f"parameter '{self.name}' takes {self.kind}, not {value!r}")
        if self.container is list:
            element = self.element()
            for item in value:
                element.validate(item)
        for annotation in self.annotations:
            if isinstance(annotation, _VALIDATORS):
                annotation.validate(value)

    def exists(self, node: Any, key: str) -> bool:
        """Whether ``node`` holds a value under ``key``."""
        if isParameterPack(self.kind):
            return all(p.exists(node, f"{key}.{p.name}") for p in self.kind.allParameters.values())
        if self.isNode:
            return node.GetNodeReferenceID(key) is not None
        return bool(node.HasParameter(f"{key}.len" if self.container is list else key))

    def write(self, node: Any, key: str, value: Any) -> None:
        """Keep ``value`` in ``node``."""
        if isParameterPack(self.kind):
            for parameter in self.kind.allParameters.values():
                parameter.write(node, f"{key}.{parameter.name}", getattr(value, parameter.name))
        elif self.isNode:
            node.SetNodeReferenceID(key, None if value is None else value.GetID())
        elif self.container is list and value is not None:
            element = self.element()
            for index, item in enumerate(value):
                element.write(node, f"{key}.{index}", item)
            node.SetParameter(f"{key}.len", str(len(value)))
        else:
            node.SetParameter(key, self._text(value))

    def read(self, node: Any, key: str) -> Any:
        """The value in ``node``; the default when there is none."""
        if isParameterPack(self.kind):
            return self.kind(**{p.name: p.read(node, f"{key}.{p.name}") for p in self.kind.allParameters.values()})
        if self.isNode:
            return node.GetNodeReference(key)
        if not self.exists(node, key):
            return self.default()
        if self.container is list:
            element = self.element()
            return [element.read(node, f"{key}.{index}") for index in range(int(node.GetParameter(f"{key}.len")))]
        return self._value(node.GetParameter(key))

    def _text(self, value: Any) -> str:
        if isinstance(value, enum.Enum):
            return value.name
        return repr(value) if self.container in (tuple, dict) else str(value)

    def _value(self, text: str) -> Any:
        if self.optional and text == "None":
            return None
        if self.kind is bool:
            return text == "True"
        if _isEnum(self.kind):
            return self.kind[text]
        return ast.literal_eval(text) if self.container in (tuple, dict) else self.kind(text)


class ObservedList(list):
    """Value of a list field: what is changed in it is kept in the node."""

    def __init__(self, values: Iterable[Any], changed: Callable[[list], None]) -> None:
        super().__init__(values)
        self._changed = changed


def _forwardChanges(name: str) -> Callable[..., Any]:
    plain = getattr(list, name)

    def method(self: ObservedList, *args: Any) -> Any:
        result = plain(self, *args)
        self._changed(list(self))
        return result

    return method


for _name in ("append", "extend", "insert", "remove", "pop", "clear", "sort", "reverse", "__setitem__", "__delitem__"):
    setattr(ObservedList, _name, _forwardChanges(_name))


def isParameterPack(kind: Any) -> bool:
    """Whether ``kind`` was made by ``parameterPack``."""
    return isinstance(kind, type) and getattr(kind, "isParameterPack", False)


def parameterPack(cls: type) -> type:
    """Make a value type of the annotated fields of ``cls``, to be a field of a parameter node or of another pack."""
    cls.allParameters = parameters = _parametersOf(cls)  # type: ignore[attr-defined]
    cls.isParameterPack = True  # type: ignore[attr-defined]

    def __init__(self: Any, *args: Any, **values: Any) -> None:
        values.update(zip(parameters, args, strict=False))
        for name, parameter in parameters.items():
            setattr(self, name, values[name] if name in values else parameter.default())

    def __setattr__(self: Any, name: str, value: Any) -> None:
        if name not in parameters:
            raise AttributeError(f"{cls.__name__} has no parameter '{name}'")
        parameters[name].validate(value)
        self.__dict__[name] = value
        changed = self.__dict__.get("_changed")
        if changed is not None:
            changed(self)

    def __eq__(self: Any, other: Any) -> bool:
        return type(other) is cls and all(getattr(self, name) == getattr(other, name) for name in parameters)

    for name in parameters:
        if name in vars(cls):
            delattr(cls, name)
    cls.__init__ = __init__  # type: ignore[misc]
    cls.__setattr__ = __setattr__  # type: ignore[assignment,method-assign]
    cls.__eq__ = __eq__  # type: ignore[assignment,method-assign]
    cls.__hash__ = None  # type: ignore[assignment]
    return cls


def parameterNodeWrapper(cls: type) -> type:
    """Give the annotated fields of ``cls`` a place in a vtkMRMLScriptedModuleNode.

    Fields may be str, int, float, bool, a pathlib path, an Enum (stored by name), an MRML node class or a union of
    them (stored as a reference), a parameter pack, a list of these, Optional of them, a tuple or dict of literals.
    """
    cls.allParameters = parameters = _parametersOf(cls)  # type: ignore[attr-defined]

    def __init__(self: Any, parameterNode: Any, prefix: str | None = None) -> None:
        if not parameterNode.IsA("vtkMRMLScriptedModuleNode"):
            raise TypeError(f"parameters are kept in a vtkMRMLScriptedModuleNode, not in {parameterNode}")
        self.__dict__.update(parameterNode=parameterNode, _prefix=f"{prefix}." if prefix else "")
        for name, parameter in parameters.items():
            if not parameter.exists(parameterNode, self._prefix + name) and not parameter.isNode:
                parameter.write(parameterNode, self._prefix + name, parameter.default())

    def __setattr__(self: Any, name: str, value: Any) -> None:
        if name not in parameters:
            raise AttributeError(f"{cls.__name__} has no parameter '{name}'")
        object.__setattr__(self, name, value)

    def __eq__(self: Any, other: Any) -> bool:
        return type(other) is type(self) and other.parameterNode is self.parameterNode

    cls.__init__ = __init__  # type: ignore[misc]
    cls.__setattr__ = __setattr__  # type: ignore[assignment,method-assign]
    cls.__eq__ = __eq__  # type: ignore[assignment,method-assign]
    cls.__hash__ = lambda self: hash(self.parameterNode)  # type: ignore[assignment,method-assign]
    for name, parameter in parameters.items():
        setattr(cls, name, _Field(parameter))
    for name in ("AddObserver", "HasObserver", "RemoveObserver", "StartModify", "EndModify"):
        setattr(cls, name, _forwarded(name))
    for function in (getValue, setValue, dataType):
        setattr(cls, function.__name__, function)
    return cls


def getValue(self: Any, name: str) -> Any:
    """Value of a field; "pack.field" reaches into a pack."""
    for part in name.split("."):
        self = getattr(self, part)
    return self


def setValue(self: Any, name: str, value: Any) -> None:
    """Set a field; "pack.field" reaches into a pack."""
    *path, last = name.split(".")
    for part in path:
        self = getattr(self, part)
    setattr(self, last, value)


def dataType(self: Any, name: str) -> Any:
    """Type of a field, with its annotations."""
    parameter = parameterOf(type(self), name)
    kind = parameter.kind | None if parameter.optional else parameter.kind
    return Annotated[(kind, *parameter.annotations)] if parameter.annotations else kind


def parameterOf(cls: type, name: str) -> Parameter:
    """The field ``name`` of a wrapper or pack; "pack.field" reaches into a pack. Raises AttributeError."""
    first, _, rest = name.partition(".")
    try:
        parameter = cls.allParameters[first]  # type: ignore[attr-defined]
    except KeyError:
        raise AttributeError(f"{cls.__name__} has no parameter '{first}'") from None
    return parameterOf(parameter.kind, rest) if rest else parameter


class _Field:
    """A field of a wrapper, as its users see it."""

    def __init__(self, parameter: Parameter) -> None:
        self.parameter = parameter

    def __get__(self, wrapper: Any, owner: type | None = None) -> Any:
        if wrapper is None:
            return self
        value = self.parameter.read(wrapper.parameterNode, wrapper._prefix + self.parameter.name)
        if isinstance(value, list):
            return ObservedList(value, lambda changed: self.__set__(wrapper, changed))
        if isParameterPack(type(value)):
            self._follow(value, lambda: self.__set__(wrapper, value))
        return value

    def __set__(self, wrapper: Any, value: Any) -> None:
        self.parameter.validate(value)
        self.parameter.write(wrapper.parameterNode, wrapper._prefix + self.parameter.name, value)

    def _follow(self, pack: Any, changed: Callable[[], None]) -> None:
        pack.__dict__["_changed"] = lambda _pack: changed()
        for name in type(pack).allParameters:
            if isParameterPack(type(getattr(pack, name))):
                self._follow(getattr(pack, name), changed)


def _forwarded(name: str) -> Callable[..., Any]:
    def method(self: Any, *args: Any) -> Any:
        return getattr(self.parameterNode, name)(*args)

    method.__name__ = name
    return method


def _parametersOf(cls: type) -> dict[str, Parameter]:
    hints = typing.get_type_hints(cls, include_extras=True)
    if not hints:
        raise ValueError(f"{cls.__name__} has no annotated fields")
    return {name: Parameter(name, hint, vars(cls).get(name)) for name, hint in hints.items()}


def _splitAnnotated(annotation: Any) -> tuple[Any, list[Any]]:
    if typing.get_origin(annotation) is Annotated:
        kind, *annotations = typing.get_args(annotation)
        return kind, annotations
    return annotation, []


def _splitOptional(kind: Any) -> tuple[Any, bool]:
    if not _isUnion(kind):
        return kind, False
    members = [member for member in typing.get_args(kind) if member is not type(None)]
    return typing.Union[tuple(members)], len(members) < len(typing.get_args(kind))  # noqa: UP007 - made at run time


def _isUnion(kind: Any) -> bool:
    return typing.get_origin(kind) in (typing.Union, types.UnionType)


def _isNodeClass(kind: Any) -> bool:
    import slicer

    return isinstance(kind, type) and issubclass(kind, slicer.vtkMRMLNode)


def _isEnum(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, enum.Enum)


def _isPath(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, PurePath)
