"""The class that is both `RayTaskError` and the class of what was raised, made once per class of cause.

An instance carries the remote traceback as its text and the original exception as `cause`; attributes and methods of
the cause work on it, also those that C code keeps in the exception's own struct (`OSError.errno`, `SystemExit.code`,
...). Where the original could not be pickled whole (see `_raised`), the attributes that could are on the instance,
and `cause` is a `RayError` that names what could not. Where it was loading that failed, the instance is an
`UnserializableException` as well, as Ray raises then.
"""

from __future__ import annotations

from iosdk import _raised
from iosdk.exceptions import RayError, RayTaskError, UnserializableException, _rebuild_task_error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_classes: dict[tuple[type[BaseException], bool], type[RayTaskError]] = {}


def make(error: RayTaskError) -> RayTaskError:
    """The dual of `error`; `error` itself, with a warning, where the cause's class cannot be subclassed."""
    cause = error.cause
    assert cause is not None
    note, unloadable = cause.__dict__.get(_raised.NOTE) or (None, False)
    try:
        dual = _allocate(_class_for(type(cause), unloadable), cause)
        dual.__dict__.update(error.__dict__)
    except Exception as problem:
        import logging

        logging.getLogger("iosdk.exceptions").warning(
            "An exception of type %s cannot be raised as its own type here (%s); raising a plain RayTaskError instead.",
            type(cause),
            problem,
        )
        return error
    if note is not None:
        fields = dual.__dict__
        fields.update({_raised.NOTE: (note, unloadable), "_iosdk_copy": cause})
        if not unloadable:
            fields.update({**cause.__dict__, **fields, "cause": RayError(note)})
    return dual


def _class_for(cause_cls: type[BaseException], unloadable: bool) -> type[RayTaskError]:
    known = _classes.get((cause_cls, unloadable))
    if known is not None:
        return known
    name = f"RayTaskError({cause_cls.__name__})"
    body = {
        "__module__": "iosdk.exceptions",
        "__qualname__": name,
        "__doc__": f"A task failed with {cause_cls.__name__}.",
        "__init__": _init,
        "__reduce__": _reduce,
        "__reduce_ex__": lambda self, _protocol: _reduce(self),
        "__getattr__": _getattr,
        "__str__": RayTaskError.__str__,
        "__repr__": _repr,
        # Some exception classes override `args`; this one is what `raise` and the caller see.
        "args": property(lambda self: (self.__dict__["cause"],), lambda self, value: None),
    }
    if issubclass(cause_cls, _groups()):
        body["derive"] = lambda self, members: self.cause.derive(members)
    bases = (RayTaskError, UnserializableException, cause_cls) if unloadable else (RayTaskError, cause_cls)
    cls: type[RayTaskError] = type(name, bases, body)
    _classes[cause_cls, unloadable] = cls
    return cls


def _groups() -> tuple[type[BaseException], ...]:
    import builtins

    group = getattr(builtins, "BaseExceptionGroup", None)
    return () if group is None else (group,)


def _allocate(cls: type[RayTaskError], cause: BaseException) -> RayTaskError:
    # What the constructor of exception groups insists on; the others take nothing.
    needed = (cause.message, cause.exceptions) if issubclass(cls, _groups()) else ()  # type: ignore[attr-defined]
    dual: Any = _raised.allocate(cls, needed)
    for base in type(cause).__mro__:
        if base.__flags__ & _raised.HEAP_TYPE or base in (BaseException, Exception, object):
            continue
        for name, slot in vars(base).items():
            if hasattr(slot, "__set__") and not name.startswith("__"):
                try:
                    setattr(dual, name, getattr(cause, name))
                except (AttributeError, TypeError):
                    continue  # read-only, or never set in the cause either: `__getattr__` asks the cause
    return dual  # type: ignore[no-any-return]


def _init(self: RayTaskError, *_args: object, **_kwargs: object) -> None:
    """Nothing: `make` fills the instance."""


def _reduce(self: RayTaskError) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    copy = self.__dict__.get("_iosdk_copy")
    if copy is None:
        return _rebuild_task_error, (*RayTaskError._fields(self), True)
    function_name, traceback_str, _, *about = RayTaskError._fields(self)
    return _rebuild_from_parts, ((function_name, traceback_str, None, *about), _raised.pack(self))


def _rebuild_from_parts(fields: tuple[Any, ...], packed: tuple[Any, ...]) -> RayTaskError:
    error = RayTaskError(*fields)
    error.cause = _raised.unpack(packed)
    return error.as_instanceof_cause()


def _getattr(self: RayTaskError, name: str) -> Any:
    cause = self.__dict__.get("cause")
    if cause is None or (name.startswith("__") and name.endswith("__")):
        raise AttributeError(name)
    return getattr(cause, name)


def _repr(self: RayTaskError) -> str:
    return f"{type(self).__name__}({self.__dict__['cause']!r})"
