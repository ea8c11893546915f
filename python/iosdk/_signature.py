"""The signature of a remote function or method, reduced to what a caller must check: how many positional arguments,
which keywords. Small and picklable, since it travels with actor handles, and made without `inspect` for ordinary
functions.
"""

from __future__ import annotations

import types

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

_VARARGS, _VARKEYWORDS = 0x04, 0x08
_GENERATOR, _COROUTINE, _ASYNC_GENERATOR = 0x20, 0x80, 0x200
NEVER_PLAIN = 1 << 30


class Signature:
    """Parameters of a callable. `module` and `function` name it in errors.

    `names`: positional parameters in order; the first `positional_only` of them cannot be keywords; the last
    `defaults` have default values. `keyword_only`: name -> has a default. `more_positional`, `more_keywords`:
    `*args`, `**kwargs`.
    """

    __slots__ = (
        "defaults",
        "function",
        "keyword_only",
        "module",
        "more_keywords",
        "more_positional",
        "names",
        "positional_only",
    )

    def __init__(
        self,
        function: str,
        names: tuple[str, ...] = (),
        positional_only: int = 0,
        defaults: int = 0,
        keyword_only: Mapping[str, bool] | None = None,
        more_positional: bool = False,
        more_keywords: bool = False,
        module: str = "",
    ) -> None:
        self.function = function
        self.names = names
        self.positional_only = positional_only
        self.defaults = defaults
        self.keyword_only = dict(keyword_only or {})
        self.more_positional = more_positional
        self.more_keywords = more_keywords
        self.module = module

    def __reduce__(self) -> tuple[type[Signature], tuple[Any, ...]]:
        return Signature, tuple(getattr(self, slot) for slot in _FIELDS)

    @property
    def min_args(self) -> int:
        """Positional arguments a call without keywords needs; never reached when some keyword has to be given."""
        if not all(self.keyword_only.values()):
            return NEVER_PLAIN
        return len(self.names) - self.defaults

    @property
    def max_args(self) -> int:
        """Positional arguments a call may have; -1: any number."""
        return -1 if self.more_positional else len(self.names)

    def bind(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        """Raises `TypeError`, in the words Python itself uses, unless the function can be called with these."""
        names, given = self.names, len(args)
        if given > len(names) and not self.more_positional:
            raise TypeError(f"{self.function}(): too many positional arguments ({given}, at most {len(names)} taken)")
        for name in kwargs:
            if name in self.keyword_only:
                continue
            if name in names and names.index(name) >= self.positional_only:
                if names.index(name) < given:
                    raise TypeError(f"{self.function}(): multiple values for argument {name!r}")
            elif not self.more_keywords:
                raise TypeError(f"{self.function}(): got an unexpected keyword argument {name!r}")
        for index in range(given, len(names) - self.defaults):
            if index < self.positional_only or names[index] not in kwargs:
                raise TypeError(f"{self.function}(): missing a required argument: {names[index]!r}")
        for name, has_default in self.keyword_only.items():
            if not has_default and name not in kwargs:
                raise TypeError(f"{self.function}(): missing a required argument: {name!r}")


_FIELDS = (
    "function",
    "names",
    "positional_only",
    "defaults",
    "keyword_only",
    "more_positional",
    "more_keywords",
    "module",
)


def of(function: Callable[..., Any], name: str, skip: int = 0) -> Signature:
    """The signature of `function`, shown as `name` in errors, without its first `skip` parameters (1 for `self`)."""
    if type(function) is types.FunctionType and not hasattr(function, "__wrapped__"):
        return _of_code(function, name, skip)
    import inspect

    module = getattr(function, "__module__", None) or "__main__"
    try:
        parameters = list(inspect.signature(function).parameters.values())[skip:]
    except (ValueError, TypeError):  # written in C without a signature: the call itself will tell
        return Signature(name, more_positional=True, more_keywords=True, module=module)
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    return Signature(
        name,
        tuple(p.name for p in positional),
        sum(p.kind is p.POSITIONAL_ONLY for p in positional),
        sum(p.default is not p.empty for p in positional),
        {p.name: p.default is not p.empty for p in parameters if p.kind is p.KEYWORD_ONLY},
        any(p.kind is p.VAR_POSITIONAL for p in parameters),
        any(p.kind is p.VAR_KEYWORD for p in parameters),
        module,
    )


def _of_code(function: types.FunctionType, name: str, skip: int) -> Signature:
    code = function.__code__
    count = code.co_argcount
    keywords = function.__kwdefaults__ or {}
    keyword_only = code.co_varnames[count : count + code.co_kwonlyargcount]
    names = code.co_varnames[skip:count]
    return Signature(
        name,
        names,
        max(0, code.co_posonlyargcount - skip),
        min(len(function.__defaults__ or ()), len(names)),
        {keyword: keyword in keywords for keyword in keyword_only},
        bool(code.co_flags & _VARARGS),
        bool(code.co_flags & _VARKEYWORDS),
        function.__module__ or "__main__",
    )


def _flags(function: object) -> int:
    import functools

    while isinstance(function, functools.partial):
        function = function.func
    function = getattr(function, "__func__", function)
    return getattr(getattr(function, "__code__", None), "co_flags", 0)


def is_async(function: object) -> bool:
    """True for `async def`, with or without `yield`."""
    return bool(_flags(function) & (_COROUTINE | _ASYNC_GENERATOR))


def is_generator(function: object) -> bool:
    """True for a plain `def` with `yield`."""
    return bool(_flags(function) & _GENERATOR)
