"""What a handle must know about an actor's class: the names of its methods, their signatures and options. Travels with
handles, and is made once per class and process however many handles arrive."""

from __future__ import annotations

import os
import types

from iosdk import _core, _session, _signature
from iosdk._signature import Signature

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

CLASS, METHOD = 1, 2

# Methods every actor has besides its own; the Rust side runs them itself.
INJECTED = ("__ray_ready__", "__ray_call__", "__ray_terminate__")

# Attributes every object has: a method of such a name is found only when it is set on the handle itself.
_RESERVED = frozenset(dir(type("_", (), {"_actor_id": None, "__eq__": None, "__hash__": None, "__getattr__": None})))


class Method:
    """A method: `signature` without `self`, `options` from `@method`, `generator` if its body yields."""

    __slots__ = ("generator", "options", "signature")

    def __init__(self, signature: Signature, options: Mapping[str, Any], generator: bool) -> None:
        self.signature = signature
        self.options = dict(options)
        self.generator = generator

    def __reduce__(self) -> tuple[type[Method], tuple[Any, ...]]:
        return Method, (self.signature, self.options, self.generator)


class ClassDescription:
    """`name` and `module` of the class, its `constructor`'s signature, its `methods`, the names of `async_methods`.

    `shadowed`: methods named like something that every Python object has. `unique`: 16 bytes that name this
    description.
    """

    def __init__(
        self,
        unique: bytes,
        name: str,
        module: str,
        constructor: Signature,
        methods: dict[str, Method],
        async_methods: list[str],
    ) -> None:
        self.unique = unique
        self.name = name
        self.module = module
        self.constructor = constructor
        self.methods = methods
        self.async_methods = async_methods
        self.shadowed = [method for method in methods if method in _RESERVED and method not in INJECTED]
        self._keys: dict[str, int] = {}
        self._keys_of_session = -1

    def key_of(self, method: str) -> int:
        """The number of this method in the running session."""
        session = _core.session_id()
        if session != self._keys_of_session:
            _session.ensure_connected()
            self._keys_of_session = _core.session_id()
            self._keys = {}
        key = self._keys.get(method)
        if key is None:
            key = self._keys[method] = _core.define(METHOD, method, self.module, b"", {}, b"")
        return key

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return _known_or_new, (
            self.unique,
            self.name,
            self.module,
            self.constructor,
            self.methods,
            self.async_methods,
        )


_known: dict[bytes, ClassDescription] = {}


def _known_or_new(unique: bytes, *rest: Any) -> ClassDescription:
    description = _known.get(unique)
    if description is None:
        description = _known[unique] = ClassDescription(unique, *rest)
    return description


def describe(cls: type) -> ClassDescription:
    """The description of a plain class."""
    name = cls.__name__
    methods = {}
    async_methods = []
    for attribute, function in _methods_of(cls):
        if attribute == "__init__":
            continue
        if attribute in ("remote", "options", "bind", "_remote"):
            import warnings

            warnings.warn(f"Method {attribute!r} of actor class {name} is overwritten on the class.", stacklevel=4)
        if _signature.is_async(function):
            async_methods.append(attribute)
        methods[attribute] = Method(
            _signature.of(function, f"{name}.{attribute}", skip=1 if _takes_self(cls, attribute) else 0),
            getattr(function, "__iosdk_method_options__", {}),
            _signature.is_generator(function),
        )
    methods["__ray_ready__"] = Method(Signature("__ray_ready__"), {}, False)
    methods["__ray_call__"] = Method(
        Signature("__ray_call__", ("fn",), 1, more_positional=True, more_keywords=True), {}, False
    )
    methods["__ray_terminate__"] = Method(Signature("__ray_terminate__"), {}, False)
    module = cls.__module__ or "__main__"
    return ClassDescription(os.urandom(16), name, module, _constructor(cls), methods, async_methods)


def _methods_of(cls: type) -> list[tuple[str, Any]]:
    """Functions found on the class and its bases, the most derived first; classmethods and staticmethods included."""
    found: dict[str, Any] = {}
    for base in cls.__mro__:
        if base is object:
            continue
        for name, value in vars(base).items():
            found.setdefault(name, value)
    methods = []
    for name, value in found.items():
        if isinstance(value, (staticmethod, classmethod)):
            value = value.__func__
        if isinstance(value, types.FunctionType) or type(value).__name__ == "cython_function_or_method":
            methods.append((name, value))
    return methods


def _takes_self(cls: type, name: str) -> bool:
    for base in cls.__mro__:
        if name in vars(base):
            return not isinstance(vars(base)[name], staticmethod)
    return True


def _constructor(cls: type) -> Signature:
    constructor: Any = vars(cls).get("__init__") or getattr(cls, "__init__")  # noqa: B009 (mypy: a class, not an instance)
    if constructor is object.__init__:
        return Signature(cls.__name__)
    return _signature.of(constructor, f"{cls.__name__}.__init__", skip=1)
