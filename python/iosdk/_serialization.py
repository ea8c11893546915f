"""Values to bytes and back, for what the Rust side cannot do alone: cloudpickle, protocol 5, large buffers out of band.

`dumps` and `loads` are called by the Rust side. References inside values note themselves there while they are pickled.
All buffers stay outside the pickle: large ones are read in place by whoever gets the value, and arrays made from them,
large or small, are read-only.
"""

from __future__ import annotations

import sys
from pickle import PickleBuffer
from pickle import loads as _loads

from iosdk import exceptions

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

PROTOCOL = 5

DEFINITION_WARN_BYTES = 10 * 1024 * 1024
DEFINITION_MAX_BYTES = 100 * 1024 * 1024


class CouldNotSerialize(TypeError):
    """A value that cannot be pickled; the text names the part that cannot. `subject` says what the value was."""

    def __init__(self, value: object, problem: BaseException, culprit: str, target: str = "") -> None:
        self.value, self.problem, self.culprit = value, problem, culprit
        super().__init__(self._text("the argument", f" for a task or actor{target}"))

    def _text(self, subject: str, rest: str) -> str:
        from iosdk._culprit import shown

        return f"Could not serialize {subject} {shown(self.value)}{rest}: {self.problem}\n{self.culprit}"

    def about(self, subject: str) -> TypeError:
        """The same as a plain `TypeError` whose text speaks of `subject`, e.g. "the put value"."""
        return TypeError(self._text(subject, ""))

    def for_call(self, bind: Any) -> CouldNotSerialize:
        """The same, saying which function the argument was for. `bind`: the `Signature.bind` of that function. Called
        by the Rust side."""
        signature = bind.__self__
        target = f" {signature.module}.{signature.function}"
        error = CouldNotSerialize(self.value, self.problem, self.culprit, target)
        error.__cause__ = self.problem
        return error

    def __reduce__(self) -> tuple[type[TypeError], tuple[str]]:
        return TypeError, (str(self),)


def dumps(value: object) -> tuple[bytes, list[PickleBuffer]]:
    """`value` as a pickle and the buffers left out of it. Raises `CouldNotSerialize` (a `TypeError`)."""
    buffers: list[PickleBuffer] = []
    try:
        ndarray: Any = getattr(sys.modules.get("numpy"), "ndarray", None)
        if type(value) is ndarray and not value.dtype.hasobject:  # type: ignore[attr-defined]
            # Nothing in it needs cloudpickle, and the C pickler is three times as fast for small arrays.
            from _pickle import dumps as plain_dumps

            return plain_dumps(value, PROTOCOL, buffer_callback=buffers.append), buffers
        return _cloud_dumps(value, buffers.append, of_value=True), buffers
    except (exceptions.RayError, MemoryError):
        raise  # a `__reduce__` that uses the runtime itself, or nothing that the value is to blame for
    except Exception as problem:
        from iosdk._errors import SessionOver

        if isinstance(problem, SessionOver):
            raise
        raise _explain(value, problem) from problem


def _cloud_dumps(value: object, buffer_callback: Any, of_value: bool = False) -> bytes:
    from io import BytesIO

    global _picklers
    if _picklers is None:
        _picklers = _make_picklers()
    file = BytesIO()
    _picklers[of_value](file, protocol=PROTOCOL, buffer_callback=buffer_callback).dump(value)
    return file.getvalue()


# For definitions and for values. Made by the first that needs one: cloudpickle takes a while to import.
_picklers: tuple[Any, Any] | None = None


def _make_picklers() -> tuple[Any, Any]:
    """cloudpickle's pickler, but code keeps the name of its file, which a traceback needs: cloudpickle 3.1.3 and later
    write a text of their own in its place. The one for values also notes references in the order it meets them."""
    from collections import ChainMap
    from types import CodeType

    import cloudpickle

    from iosdk import _core

    reduce_code = cloudpickle.Pickler.dispatch_table[CodeType]

    def with_its_file(code: CodeType) -> tuple[Any, ...]:
        make, parts = reduce_code(code)
        return make, tuple(code.co_filename if part == "<dynamic-code>" else part for part in parts)

    of_definitions = ChainMap({CodeType: with_its_file}, cloudpickle.Pickler.dispatch_table)
    of_values = ChainMap({_core.ObjectRef: _core._note}, of_definitions)

    class DefinitionPickler(cloudpickle.Pickler):  # type: ignore[misc]
        dispatch_table = of_definitions

    class ValuePickler(cloudpickle.Pickler):  # type: ignore[misc]
        dispatch_table = of_values

    return DefinitionPickler, ValuePickler


def loads(data: bytes | memoryview, buffers: list[Any]) -> Any:
    """The value of `dumps`. `buffers`: bytes-like objects in the order `dumps` gave them."""
    return _loads(data, buffers=buffers)


def dumps_definition(value: object, kind: str, name: str, module: str) -> bytes:
    """A function or class as bytes. `kind`: "remote function" or "actor". Raises `TypeError` when something it refers
    to cannot be pickled, `ValueError` when it is too large; warns when it is large."""
    try:
        pickled: bytes = _cloud_dumps(value, None)
    except Exception as problem:
        from iosdk._culprit import find

        what = "function" if kind == "remote function" else "actor class"
        raise TypeError(
            f"Could not serialize the {what} {module}.{name}: {problem}\n{find(value, name)}\n"
            "Make it inside the function or the constructor, or give it as an argument."
        ) from problem
    _check_size(len(pickled), kind, name)
    return pickled


def _check_size(size: int, kind: str, name: str) -> None:
    import os

    limit = int(os.environ.get("FUNCTION_SIZE_ERROR_THRESHOLD", DEFINITION_MAX_BYTES))
    advice = (
        "check that it does not capture a large array or other object; store that with put() and pass the reference"
    )
    mib = size / 2**20
    if size > limit:
        raise ValueError(f"The {kind} {name} is too large ({mib:.0f} MiB > {limit / 2**20:.0f} MiB): {advice}.")
    if size > DEFINITION_WARN_BYTES:
        import warnings

        warnings.warn(f"The {kind} {name} is very large ({mib:.0f} MiB): {advice}.", stacklevel=4)


def _explain(value: object, problem: BaseException) -> CouldNotSerialize:
    """Speaks of the one argument that fails rather than of all of them."""
    from iosdk._culprit import find, pickles

    for part in _arguments(value):
        if not pickles(part):
            return CouldNotSerialize(part, problem, find(part, type(part).__name__))
    return CouldNotSerialize(value, problem, find(value, type(value).__name__))


def _arguments(value: object) -> list[object]:
    """The arguments of a call: the Rust side gives them as `args` or `(args, kwargs)`."""
    if type(value) is not tuple:
        return []
    if len(value) == 2 and type(value[0]) is tuple and type(value[1]) is dict:
        return [*value[0], *value[1].values()]
    return list(value)
