"""The decorator `remote`: functions become tasks, classes become actors."""

from __future__ import annotations

import types

from iosdk import _options
from iosdk.actor import ActorClass
from iosdk.remote_function import RemoteFunction

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Protocol, TypeVar, overload

    R = TypeVar("R")

    class _Remote(Protocol):
        """`remote` as type checkers see it."""

        @overload
        def __call__(self, target: type, /) -> ActorClass: ...  # type: ignore[overload-overlap]
        @overload
        def __call__(self, target: Callable[..., R], /) -> RemoteFunction[R]: ...
        @overload
        def __call__(self, **options: Any) -> Callable[[Any], Any]: ...

    remote: _Remote


def _remote(*args: Any, **options: Any) -> Any:
    """Makes a task of a function or an actor class of a class: `@remote`, `@remote(num_cpus=2)`, `remote(f)`.

    Raises `AssertionError` for `@remote()` and for positional arguments, `TypeError` for what is neither function nor
    class, and what is wrong with the options (see `_options`).
    """
    if len(args) == 1 and not options and _is_remotable(args[0]):
        return _make(args[0], {})
    if len(args) == 1 and not options and not isinstance(args[0], (str, int, float, dict, list, tuple)):
        raise TypeError(_wrong_target(args[0]))
    valid = sorted({*_options.TASK, *_options.ACTOR})
    assert not args and options, (
        f"@remote takes no arguments and no parentheses, or one or more of the keyword arguments {valid}, not "
        f"{args if args else 'empty parentheses'}"
    )
    for name, value in options.items():
        # Which table holds is known when the function or class is; what is wrong in both is wrong now.
        if name not in _options.TASK and name not in _options.ACTOR:
            raise ValueError(
                f"Invalid option keyword {name!r} for remote functions and actors. Valid ones are {valid}."
            )
        if name not in _options.ACTOR:
            _options.check_value(name, value, _options.TASK[name])
        elif name not in _options.TASK or _options.TASK[name] is _options.ACTOR[name]:
            _options.check_value(name, value, _options.ACTOR[name])
    return lambda function_or_class: _make(function_or_class, options)


remote = _remote


def _is_remotable(target: object) -> bool:
    cython = type(target).__name__ in ("cython_function_or_method", "fused_cython_function")
    return isinstance(target, (type, types.FunctionType)) or cython


def _wrong_target(target: object) -> str:
    return f"@remote must be applied to either a function or a class, not {type(target).__name__}: {target!r}"


def _make(target: Any, options: dict[str, Any]) -> Any:
    if not _is_remotable(target):
        raise TypeError(_wrong_target(target))
    if isinstance(target, type):
        _options.check(options, "actors")
        return ActorClass(target, options)
    _options.check(options, "remote functions")
    return RemoteFunction(target, options)
