"""Finds what makes a value unpicklable: walks closures, globals, attributes and containers down to the smallest part
that fails, and says its path in words, for error messages."""

from __future__ import annotations

import types

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

DEPTH_MAX = 8
CHILDREN_MAX = 1_000


def find(value: object, name: str) -> str:
    """One sentence that names the part of `value` (called `name`) that cannot be pickled, e.g.
    "What cannot be pickled: global variable 'lock' of f (<unlocked _thread.lock object>)."."""
    path, culprit = _descend(value, [], set(), DEPTH_MAX)
    where = " -> ".join([name, *path])
    return f"What cannot be pickled: {where} ({shown(culprit)})."


def _descend(value: object, path: list[str], seen: set[int], depth: int) -> tuple[list[str], object]:
    seen.add(id(value))
    if depth > 0:
        for label, child in _children(value):
            if id(child) not in seen and not pickles(child):
                return _descend(child, [*path, label], seen, depth - 1)
    return path, value


def pickles(value: object) -> bool:
    import cloudpickle

    try:
        cloudpickle.dumps(value, protocol=5)
    except Exception:
        return False
    return True


def _children(value: object) -> Iterator[tuple[str, object]]:
    from itertools import islice

    return islice(_all_children(value), CHILDREN_MAX)


def _all_children(value: object) -> Iterator[tuple[str, object]]:
    if isinstance(value, types.MethodType):
        yield "the instance it is bound to", value.__self__
        yield "its function", value.__func__
    elif isinstance(value, types.FunctionType):
        yield from _of_function(value)
    elif isinstance(value, dict):
        for key, item in list(value.items()):
            yield f"key {shown(key)}", key
            yield f"[{shown(key)}]", item
    elif isinstance(value, (list, tuple)):
        yield from ((f"[{index}]", item) for index, item in enumerate(value))
    elif isinstance(value, (set, frozenset)):
        yield from (("an element", item) for item in value)
    if isinstance(value, type):
        yield from ((f"class attribute {name!r}", item) for name, item in list(vars(value).items()))
    elif not isinstance(value, (types.FunctionType, types.ModuleType)):
        yield from _of_instance(value)


def _of_function(function: types.FunctionType) -> Iterator[tuple[str, object]]:
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=False):
        try:
            yield f"closure variable {name!r}", cell.cell_contents
        except ValueError:
            continue  # not assigned yet
    for name in _global_names(function.__code__):
        if name in function.__globals__:
            yield f"global variable {name!r}", function.__globals__[name]
    for index, default in enumerate(function.__defaults__ or ()):
        yield f"default value {index}", default
    for name, default in (function.__kwdefaults__ or {}).items():
        yield f"default value of {name!r}", default
    yield from ((f"attribute {name!r}", item) for name, item in list(vars(function).items()))


def _global_names(code: types.CodeType) -> list[str]:
    names = list(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, type(code)):
            names.extend(_global_names(constant))
    return names


def _of_instance(value: object) -> Iterator[tuple[str, object]]:
    attributes = getattr(value, "__dict__", None)
    if isinstance(attributes, dict):
        yield from ((f"attribute {name!r}", item) for name, item in list(attributes.items()))
    if isinstance(value, BaseException):
        yield from ((f"args[{index}]", item) for index, item in enumerate(value.args))
    for cls in type(value).__mro__:
        slots = cls.__dict__.get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if isinstance(name, str) and not name.startswith("__") and hasattr(value, name):
                yield f"attribute {name!r}", getattr(value, name)


def shown(value: object) -> str:
    try:
        text = repr(value)
    except Exception as problem:  # user code: the report must come out whatever a repr does
        text = f"<{type(value).__name__}: its repr raised {type(problem).__name__}>"
    return text if len(text) <= 120 else text[:117] + "..."
