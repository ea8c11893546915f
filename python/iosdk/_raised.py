"""The exception that user code raised, as bytes and back, also where pickle alone cannot do it.

An exception whose class pickles always comes back as an instance of that class. Where pickling the whole fails (an
attribute cannot be pickled), or loading it does (an `__init__` that wants other arguments than `args`), its parts
travel: class, args and attributes, each that pickles; the copy is put together without `__init__`, and a note says
what went wrong.
"""

from __future__ import annotations

from iosdk import exceptions as exc

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_WHOLE, _PARTS, _NOTE = "whole", "parts", "note"

# Notes of copies put together from parts: what went wrong, and whether it was loading rather than pickling.
NOTE = "_iosdk_note"


def pack(error: BaseException) -> tuple[Any, ...]:
    """`error` (the cause, if it is a `RayTaskError`) as a tuple of str and bytes."""
    import pickle

    import cloudpickle

    note = error.__dict__.get(NOTE)
    if isinstance(error, exc.RayTaskError):
        error = error.__dict__.get("_iosdk_copy") or error.cause or exc.RayError(str(error))
    if note is None:
        try:
            data = cloudpickle.dumps(error, protocol=5)
        except Exception as problem:
            note = (_not_serializable(error, problem), False)
        else:
            try:
                pickle.loads(data)
                return _WHOLE, data
            except Exception as problem:
                note = (f"{type(error).__name__} pickles but does not unpickle: {problem}", True)
    return _pack_parts(error, note)


def _pack_parts(error: BaseException, note: tuple[str, bool]) -> tuple[Any, ...]:
    from iosdk._culprit import shown

    cls = _pickled(type(error))
    if cls is None:
        return _NOTE, note[0]
    args = [_pickled(arg) or _pickled(shown(arg)) for arg in error.args]
    state = {name: _pickled(value) for name, value in vars(error).items()}
    return _PARTS, cls, args, {name: data for name, data in state.items() if data is not None}, *note


def unpack(packed: tuple[Any, ...]) -> BaseException:
    """The exception again; a copy put together from parts carries its note as attribute `NOTE`."""
    import pickle

    if packed[0] == _WHOLE:
        return pickle.loads(packed[1])  # type: ignore[no-any-return]
    if packed[0] == _NOTE:
        return exc.RayError(packed[1])
    _, cls, args, state, *note = packed
    copy = allocate(pickle.loads(cls), tuple(pickle.loads(data) for data in args))
    copy.__dict__.update({name: pickle.loads(data) for name, data in state.items()})
    copy.__dict__[NOTE] = tuple(note)
    return copy


def allocate(cls: type[BaseException], args: tuple[Any, ...]) -> BaseException:
    """An instance made past `__new__` and `__init__` of user classes, by a class written in C: the one that decides the
    layout, or the next that CPython lets do it (`MemoryError` makes none but its own)."""
    natives = [base for base in cls.__mro__ if not base.__flags__ & HEAP_TYPE and base is not object]
    refused: TypeError | None = None
    for native in sorted(natives, key=lambda base: -base.__basicsize__):
        new: Any = native.__new__
        try:
            made: BaseException = new(cls, *args)
        except TypeError as problem:
            refused = refused or problem
        else:
            return made
    raise refused or TypeError(f"{cls} is no exception class")


HEAP_TYPE = 1 << 9


def _pickled(value: object) -> bytes | None:
    import pickle

    import cloudpickle

    try:
        data: bytes = cloudpickle.dumps(value, protocol=5)
        pickle.loads(data)
    except Exception:
        return None
    return data


def _not_serializable(error: BaseException, problem: BaseException) -> str:
    from iosdk._culprit import find, shown

    return f"The exception ({shown(error)}) isn't serializable: {problem}. {find(error, type(error).__name__)}"
