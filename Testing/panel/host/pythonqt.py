"""PythonQt's semantics over PySide6, whose classes are patched in place, once for the process.

Slicer talks to Qt through PythonQt, which differs from PySide6 in ways that break code silently. Patched in place, even
objects that Qt itself makes (QUiLoader, dialogs) behave as in Slicer, and ``type(w) == qt.QCheckBox`` stays true.
Stricter than PythonQt on purpose: connecting to an unknown signal raises instead of printing, and numbers are not
accepted for enum arguments.
"""

from __future__ import annotations

import contextlib
import inspect
import sys
import traceback
import types
from collections.abc import Callable, Iterator
from typing import Any

import shiboken6
from PySide6 import QtCore, QtGui, QtNetwork, QtSvg, QtWidgets, QtXml

from . import names

QObject = QtCore.QObject
PATCHED_MODULES = (QtCore, QtGui, QtWidgets, QtNetwork, QtXml, QtSvg)

slot_errors: list[str] = []
"""Tracebacks from where no exception can travel: slots and virtual functions. A test fails while it is not empty."""

_HOST_PACKAGE = __package__
_cpp_classes: set[type] = set()
_pyside_connect = QObject.connect
_pyside_disconnect = QObject.disconnect
_pyside_getattribute = QObject.__getattribute__
_pyside_children = QObject.children


def record_error() -> None:
    """Keep the traceback of the exception being handled, as PythonQt prints it, for the end of the test."""
    slot_errors.append(traceback.format_exc())
    sys.stderr.write(slot_errors[-1])


def cpp_class(cls: type) -> type:
    """Class decorator: ``cls`` plays a C++ class. Modules can add no attribute to its objects, nor use keywords to make
    them; code of this package can, for its private state."""
    _refuse_python_arguments(cls)
    _cpp_classes.add(cls)
    return cls


def cpp_classes() -> set[type]:
    """Classes that modules take for C++ ones: Qt's and the host's."""
    return set(_cpp_classes)


def class_name(obj: QObject) -> str:
    """Name of the C++ class of ``obj``."""
    return next(cls.__name__ for cls in type(obj).__mro__ if cls in _cpp_classes)


#
# Properties
#


class QtProperty:
    """Descriptor of one Q_PROPERTY: reading gives the value, not a method."""

    def __init__(self, name: str, getter: Any) -> None:
        self.name = name
        self.getter = getter

    def __get__(self, obj: Any, owner: type | None = None) -> Any:
        if obj is None:
            return self
        return _tuple_for_list(self.getter(obj) if self.getter else obj.property(self.name))

    def __set__(self, obj: Any, value: Any) -> None:
        meta = obj.metaObject().property(obj.metaObject().indexOfProperty(self.name))
        if not meta.isWritable():
            raise AttributeError(f"Property '{self.name}' of {class_name(obj)} object is not writable")
        value = self._converted(value, meta)
        setter = getattr(type(obj), f"set{self.name[0].upper()}{self.name[1:]}", None)
        try:
            if setter is not None:  # converts enums and flags, which QMetaProperty does not
                setter(obj, value)
                return
        except TypeError:
            pass
        if not meta.write(obj, value):
            raise self._refusal(value, meta)

    def _converted(self, value: Any, meta: QtCore.QMetaProperty) -> Any:
        kind = meta.typeName()
        if kind == "QString":
            return "" if value is None else str(value)
        if kind == "bool":
            return bool(value)
        if kind in ("int", "double") and not meta.isEnumType():
            if isinstance(value, str) or (kind == "int" and int(value) != value):
                raise self._refusal(value, meta)
            return int(value) if kind == "int" else float(value)
        if kind == "QIcon" and isinstance(value, str):
            raise self._refusal(value, meta)
        return value

    def _refusal(self, value: Any, meta: QtCore.QMetaProperty) -> AttributeError:
        return AttributeError(
            f"Property '{self.name}' of type '{meta.typeName()}' does not accept {value!r} ({type(value).__name__})"
        )


def _tuple_for_list(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


#
# Signals and slots
#


def call_slot(function: Callable, arguments: tuple) -> Any:
    """Call ``function`` as PythonQt calls a slot: surplus arguments are cut, an exception is recorded."""
    count = _declared_arguments(function)
    try:
        return function(*arguments[:count])
    except Exception:  # noqa: BLE001 - any
        record_error()
        return None


def _declared_arguments(function: Callable) -> int | None:
    """Arguments that a plain function or bound method declares; None, that is all, for *args and other callables."""
    bound = isinstance(function, types.MethodType)
    plain = function.__func__ if bound else function
    if not isinstance(plain, types.FunctionType) or plain.__code__.co_flags & inspect.CO_VARARGS:
        return None
    return max(plain.__code__.co_argcount - bound, 0)


class PySignal:
    """Signal of a widget that the host implements in Python. ``signatures`` are those of the C++ class."""

    def __init__(self, *signatures: str) -> None:
        self.signatures = tuple(normalized(signature) for signature in signatures)

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, obj: Any, owner: type | None = None) -> Any:
        return self if obj is None else BoundPySignal(obj, self.signatures[0])

    def __set__(self, obj: Any, value: Any) -> None:
        raise AttributeError(f"Signal '{self.name}' can not be overwritten on {class_name(obj)} object")


class QtSignal:
    """Signal of a Qt class."""

    def __init__(self, name: str, pyside_signal: QtCore.Signal) -> None:
        self.name = name
        self.pyside_signal = pyside_signal

    def __get__(self, obj: Any, owner: type | None = None) -> Any:
        if obj is None:
            return self
        return BoundQtSignal(obj, next(s for s in _qt_signals(obj) if s.split("(")[0] == self.name), self)

    def __set__(self, obj: Any, value: Any) -> None:
        if not isinstance(value, QtCore.SignalInstance):  # PySide6 caches those
            raise AttributeError(f"Signal '{self.name}' can not be overwritten on {class_name(obj)} object")


class BoundSignal:
    """One signal of one object."""

    def __init__(self, obj: QObject, signature: str) -> None:
        self.obj = obj
        self.signature = signature
        self.types = [kind for kind in signature[signature.index("(") + 1 : -1].split(",") if kind]

    def connect(self, function: Callable) -> bool:
        """Call ``function`` at every emission; it is kept alive by the connection."""
        if not callable(function):
            raise TypeError(f"{function!r} can not be connected to {self.signature}: not callable")
        _connections_of(self.obj).append((self.signature, function, self._attach(function)))
        return True

    def disconnect(self, function: Callable | None = None) -> bool:
        """Undo one connection to a callable equal to ``function``, or all; False when there was none."""
        connections = _connections_of(self.obj)
        found = [c for c in connections if c[0] == self.signature and (function is None or c[1] == function)]
        for connection in found if function is None else found[:1]:
            self._detach(connection[2])
            connections.remove(connection)
        return bool(found)

    def __call__(self, *arguments: Any) -> None:
        """PythonQt's signals can be called, and have an emit as well."""
        self.emit(*arguments)

    def emit(self, *arguments: Any) -> None:
        raise NotImplementedError

    def _attach(self, function: Callable) -> Callable | None:
        """Slot by which Qt reaches ``function``, if the signal is Qt's."""
        return None

    def _detach(self, slot: Callable | None) -> None:
        pass


class BoundPySignal(BoundSignal):
    """Signal of a host widget: the host calls the slots itself."""

    def emit(self, *arguments: Any) -> None:
        """Call the slots of every overload, in the order of connection."""
        if self.obj.signalsBlocked():
            return
        name = self.signature.split("(")[0]
        for signature, function, _ in list(_connections_of(self.obj)):
            if signature.split("(")[0] == name:
                count = 0 if signature.endswith("()") else signature.count(",") + 1
                call_slot(function, arguments[:count])


class BoundQtSignal(BoundSignal):
    """Signal of a Qt class."""

    def __init__(self, obj: QObject, signature: str, signal: QtSignal) -> None:
        super().__init__(obj, signature)
        self.signal = signal

    def emit(self, *arguments: Any) -> None:
        """Emit it; a missing bool counts as False, as for clicked(bool)."""
        if len(arguments) > len(self.types):
            raise ValueError(f"{self.signature} does not take {len(arguments)} arguments")
        if self.types == ["bool"] and not arguments:
            arguments = (False,)
        instance = overload = self.signal.pyside_signal.__get__(self.obj, type(self.obj))
        with contextlib.suppress(KeyError, IndexError):  # there is but one overload
            overload = instance[",".join(self.types)]  # dies with the instance
        overload.emit(*arguments)

    def _attach(self, function: Callable) -> Callable:
        def slot(*arguments: Any) -> None:
            call_slot(function, arguments)

        if not _pyside_connect(self.obj, QtCore.SIGNAL(self.signature), slot):
            raise RuntimeError(f"Qt refused to connect {self.signature}")
        return slot

    def _detach(self, slot: Callable | None) -> None:
        _pyside_disconnect(self.obj, QtCore.SIGNAL(self.signature), slot)


_connections: dict[int, list[tuple[str, Callable, Callable | None]]] = {}


def _connections_of(obj: QObject) -> list[tuple[str, Callable, Callable | None]]:
    """Connections of the C++ object: the Python object around it may be made again and again."""
    key = shiboken6.getCppPointer(obj)[0]
    if key not in _connections:
        _connections[key] = []
        _pyside_connect(obj, QtCore.SIGNAL("destroyed()"), lambda: _connections.pop(key, None))
    return _connections[key]


def normalized(signature: str) -> str:
    """Signature as Qt writes it, without blanks, const and &."""
    return bytes(QtCore.QMetaObject.normalizedSignature(signature)).decode()


def signal_signatures(obj: QObject) -> list[str]:
    """Every signal that ``obj`` has."""
    own = [v.signatures for cls in type(obj).__mro__ for v in vars(cls).values() if isinstance(v, PySignal)]
    return sorted({*_qt_signals(obj), *(signature for signatures in own for signature in signatures)})


def _qt_signals(obj: QObject) -> Iterator[str]:
    meta = obj.metaObject()
    for index in range(meta.methodCount()):
        method = meta.method(index)
        if method.methodType() == QtCore.QMetaMethod.MethodType.Signal:
            yield bytes(method.methodSignature()).decode()


def _signal(obj: QObject, signature: str) -> BoundSignal:
    wanted = normalized(signature)
    signal = inspect.getattr_static(type(obj), wanted.split("(")[0], None)
    if isinstance(signal, PySignal) and wanted in signal.signatures:
        return BoundPySignal(obj, wanted)
    if isinstance(signal, QtSignal) and obj.metaObject().indexOfSignal(wanted) >= 0:
        return BoundQtSignal(obj, wanted, signal)
    raise AttributeError(
        f"QObject::connect() signal '{signature}' does not exist on {class_name(obj)}; it has {signal_signatures(obj)}"
    )


def _connect(self: QObject, signature: str, receiver: Any, slot: str | None = None) -> bool:
    """connect(signature, callable) or connect(signature, object, slot signature)."""
    return _signal(self, signature).connect(_slot(receiver, slot))


def _disconnect(self: QObject, signature: str, receiver: Any = None, slot: str | None = None) -> bool:
    return _signal(self, signature).disconnect(_slot(receiver, slot))


def _slot(receiver: Any, slot: str | None) -> Callable:
    return receiver if slot is None else getattr(receiver, slot.split("(")[0])


#
# Attributes
#


def _getattribute(self: QObject, name: str) -> Any:
    # PySide6 answers these two before it looks at the class.
    if name == "connect":
        return types.MethodType(_connect, self)
    if name == "disconnect":
        return types.MethodType(_disconnect, self)
    value = _pyside_getattribute(self, name)
    if isinstance(value, _FOUND_BY_META_OBJECT) and name not in names.attributes(class_name(self)):
        raise AttributeError(name)  # taken away by _remove_unknown
    return value


_FOUND_BY_META_OBJECT = (QtCore.SignalInstance, QtCore.MetaFunction)


def _getattr(self: QObject, name: str) -> Any:
    """What neither object nor class have: exec_, dynamic properties, children by name."""
    if not name.startswith("_"):
        if name.endswith("_") and hasattr(self, name[:-1]):
            return getattr(self, name[:-1])
        if name.encode() in _dynamic_properties(self):
            return _tuple_for_list(self.property(name))
        for child in _pyside_children(self):
            if child.objectName == name:
                return child
        if name[0].isupper() and hasattr(type(self), name):
            return getattr(type(self), name)  # enum values
    raise AttributeError(f"{class_name(self)} has no attribute named '{name}'")


def _setattr(self: QObject, name: str, value: Any) -> None:
    attribute = inspect.getattr_static(type(self), name, None)
    if isinstance(attribute, QtCore.Property):
        if attribute.fset is None:
            raise AttributeError(f"Property '{name}' of {class_name(self)} object is not writable")
        attribute.fset(self, value)
    elif hasattr(type(attribute), "__set__"):
        type(attribute).__set__(attribute, self, value)
    elif type(self) not in _cpp_classes or sys._getframe(1).f_globals.get("__package__") == _HOST_PACKAGE:
        self.__dict__[name] = value
    elif name.encode() in _dynamic_properties(self):
        self.setProperty(name, value)
    else:
        raise AttributeError(
            f"'{name}' is no property of {class_name(self)}, and creating new attributes on C++ objects is not allowed"
        )


def _dynamic_properties(obj: QObject) -> list[bytes]:
    return [bytes(name) for name in obj.dynamicPropertyNames()]


def _init_subclass(cls: type, **keywords: Any) -> None:
    """An exception must not leave a virtual function: PySide6 would take it through C++ and crash."""
    for name, function in list(vars(cls).items()):
        if isinstance(function, types.FunctionType) and (name in _VIRTUAL_FUNCTIONS or name.endswith("Event")):
            setattr(cls, name, _guarded(function))


_VIRTUAL_FUNCTIONS = {"event", "eventFilter", "sizeHint", "minimumSizeHint", "heightForWidth", "paint", "data"}


def _guarded(function: Callable) -> Callable:
    def virtual(*arguments: Any) -> Any:
        try:
            return function(*arguments)
        except Exception:  # noqa: BLE001 - any
            record_error()
            return False if function.__name__ in ("event", "eventFilter") else None

    virtual.__name__, virtual.__doc__ = function.__name__, function.__doc__
    return virtual


def _refuse_python_arguments(cls: type) -> None:
    """Constructors take neither keywords nor Python functions in PythonQt."""
    original = cls.__init__  # type: ignore[misc]

    def initialize(self: Any, *arguments: Any, **keywords: Any) -> None:
        if keywords:
            raise TypeError(f"{cls.__name__}() takes no keyword arguments in PythonQt: {', '.join(keywords)}")
        if any(isinstance(argument, types.FunctionType | types.MethodType) for argument in arguments):
            raise TypeError(f"{cls.__name__}() takes no functions in PythonQt: connect a signal")
        original(self, *arguments)

    cls.__init__ = initialize  # type: ignore[misc]


#
# Patching
#

_LIST_METHODS = {
    QtCore.QDir: ("entryList",),
    QtCore.QItemSelectionModel: ("selectedIndexes", "selectedRows", "selectedColumns"),
    QtCore.QMimeData: ("formats", "urls"),
    QtCore.QProcess: ("arguments",),
    QtCore.QSettings: ("allKeys", "childGroups", "childKeys"),
    QtWidgets.QApplication: ("allWidgets", "screens", "topLevelWidgets"),
    QtWidgets.QButtonGroup: ("buttons",),
    QtWidgets.QFileDialog: ("selectedFiles", "selectedUrls"),
    QtWidgets.QListWidget: ("findItems", "selectedItems"),
    QtWidgets.QSplitter: ("sizes",),
    QtWidgets.QTableWidget: ("findItems", "selectedItems", "selectedRanges"),
    QtWidgets.QTreeWidget: ("findItems", "selectedItems"),
    QtWidgets.QWidget: ("actions",),
}


def install() -> None:
    """Patch PySide6; further calls do nothing."""
    if _cpp_classes:
        return
    classes = list(dict.fromkeys(_pyside_classes()))
    for cls in classes:
        _cpp_classes.add(cls)
        if issubclass(cls, QObject):
            _patch_members(cls)
            _refuse_python_arguments(cls)
    for cls in classes:
        _remove_unknown(cls)
    # Every class has its own __setattr__, and PySide6 rejects object's.
    for cls in classes:
        if issubclass(cls, QObject) and "__setattr__" in vars(cls):
            cls.__setattr__ = _setattr  # type: ignore[method-assign,assignment]
    QObject.__getattribute__ = _getattribute
    QObject.__getattr__ = _getattr
    QObject.__init_subclass__ = classmethod(_init_subclass)
    QObject.connect = _connect
    QObject.disconnect = _disconnect
    QObject.name = vars(QObject)["objectName"]
    QObject.className = class_name
    QObject.inherits = lambda self, name: any(cls.__name__ == name for cls in type(self).__mro__)
    QObject.children = lambda self: tuple(_pyside_children(self))
    QObject.findChildren = _find_children
    QObject.findChild = lambda self, kind, name=None: next(iter(_find_children(self, kind, name)), None)
    for cls, methods in _LIST_METHODS.items():
        for name in methods:
            _return_tuple(cls, name)
    pyside_single_shot = QtCore.QTimer.singleShot
    QtCore.QTimer.singleShot = staticmethod(
        lambda milliseconds, function: pyside_single_shot(int(milliseconds), lambda: call_slot(function, ()))
    )
    for cls in (QtWidgets.QMenu, QtWidgets.QToolBar):
        _refuse_functions(cls, "addAction")


def _pyside_classes() -> Iterator[type]:
    """Bases first. PySide6 makes its classes when they are asked for, so vars(module) lacks them."""
    for module in PATCHED_MODULES:
        for value in (getattr(module, name) for name in dir(module)):
            if isinstance(value, type) and value.__module__.startswith("PySide6"):
                yield from (cls for cls in reversed(value.__mro__) if cls.__module__.startswith("PySide6"))


def _remove_unknown(cls: type) -> None:
    """Take away what PySide6 and Qt 6 add to what PythonQt offers of Qt 5.15."""
    known = names.attributes(cls.__name__)
    if not known:
        return
    for base in cls.__mro__:
        if base.__module__.startswith("PySide6") and (base is cls or base.__name__ not in names.qt_classes()):
            for name in [name for name in vars(base) if name.rstrip("_") not in known]:  # print_ for print
                if name.startswith("_") or name in _USED_BY_PYSIDE:
                    continue
                if base is cls:
                    delattr(cls, name)
                else:  # Qt 6 has new bases, of other classes as well
                    setattr(cls, name, _Absent(name))


class _Absent:
    """Hides what a base class has."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, obj: Any, owner: type | None = None) -> Any:
        raise AttributeError(f"{getattr(owner, '__name__', '')}.{self.name} is not in Slicer's qt")


# Read by name, from C++: virtual functions that Qt 6 has more than Qt 5 are among them. Where one is missing, the error
# comes up in whatever is called next.
_USED_BY_PYSIDE = {
    "staticMetaObject", "emit", "connectNotify", "disconnectNotify", "initViewItemOption", "initStyleOptionForIndex",
}  # fmt: skip


def _patch_members(cls: type) -> None:
    meta = cls.staticMetaObject  # type: ignore[attr-defined]
    for index in range(meta.propertyCount()):
        name = meta.property(index).name()
        own = index >= meta.propertyOffset() or name in vars(cls)  # many override sizeHint
        if own and (cls, name) != (QtCore.QTimer, "singleShot"):  # the function wins in PythonQt too
            setattr(cls, name, QtProperty(name, _getter(cls, name)))
    for name, value in list(vars(cls).items()):
        if isinstance(value, QtCore.Signal):
            setattr(cls, name, QtSignal(name, value))


def _getter(cls: type, name: str) -> Any:
    """C++ getter, which knows enums; static ones do not count."""
    member = inspect.getattr_static(cls, name, None)
    if isinstance(member, QtProperty):
        return member.getter
    return member if type(member).__name__ == "method_descriptor" else None


def _find_children(obj: QObject, kind: type | str, name: str | None = None) -> tuple[QObject, ...]:
    """All descendants of a class, or of a class name, which PythonQt takes as well."""

    def descendants(parent: QObject) -> Iterator[QObject]:
        for child in _pyside_children(parent):
            yield child
            yield from descendants(child)

    return tuple(
        child
        for child in descendants(obj)
        if (child.inherits(kind) if isinstance(kind, str) else isinstance(child, kind))
        and (name is None or child.objectName == name)
    )


def _return_tuple(cls: type, name: str) -> None:
    original = getattr(cls, name)
    if isinstance(inspect.getattr_static(cls, name), staticmethod) or inspect.isbuiltin(original):
        setattr(cls, name, staticmethod(lambda *arguments: tuple(original(*arguments))))
    else:
        setattr(cls, name, lambda self, *arguments: tuple(original(self, *arguments)))


def _refuse_functions(cls: type, name: str) -> None:
    original = getattr(cls, name)

    def method(self: Any, *arguments: Any) -> Any:
        if any(isinstance(argument, types.FunctionType | types.MethodType) for argument in arguments):
            raise TypeError(f"{cls.__name__}.{name}() takes no functions in PythonQt: connect triggered")
        return original(self, *arguments)

    setattr(cls, name, method)
