"""Classes as actors: `ActorClass` (what `@remote` makes of a class), `ActorHandle`, `ActorMethod`, `method`,
`exit_actor`.

An actor lives as long as a handle of it exists anywhere. What counts is the Rust `ActorCore` inside a handle: the
methods that a handle caches hold the core and not the handle, so no cycle keeps an actor alive, and a handle's end is
the actor's.
"""

from __future__ import annotations

import weakref

from iosdk import _core, _options, _session
from iosdk._actor_class import CLASS, ClassDescription, describe
from iosdk._not_yet import OPTIONS, OTHERS, not_yet

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any, NoReturn

_connected: weakref.WeakSet[ActorClass] = weakref.WeakSet()


def _forget_definitions() -> None:
    for actor_class in list(_connected):
        actor_class._forget()
    _connected.clear()


_session.on_end(_forget_definitions)


class ActorClassInheritanceException(TypeError):
    """A class derives from an actor class."""


class ActorClass:
    """A class whose instances are actors: `A.remote(...)` starts one in a process of its own and gives its handle.

    `A.options(...)` gives the same class with other options. Class attributes, static and class methods of the plain
    class can be used on it locally. Calling `A(...)` or deriving from `A` raises `TypeError`.
    """

    def __init__(self, *arguments: Any) -> None:
        if len(arguments) == 3 and isinstance(arguments[0], str):  # Python making a class that derives from this one
            raise ActorClassInheritanceException(
                f"Inheriting from actor classes is not currently supported. Make {arguments[0]} derive from the plain "
                "class, "
                "and put @remote on it alone."
            )
        cls, options = arguments
        self._set(cls, None, dict(options), describe(cls))

    def _set(self, cls: Any, pickled: bytes | None, options: dict[str, Any], description: ClassDescription) -> None:
        self._iosdk_plain = cls
        self._iosdk_pickled = pickled
        self._iosdk_options = options
        self._iosdk_description = description
        self._iosdk_key: int | None = None
        if cls is not None:
            for attribute in ("__name__", "__qualname__", "__module__", "__doc__"):
                self.__dict__[attribute] = getattr(cls, attribute, None)

    def __call__(self, *_args: Any, **_kwargs: Any) -> NoReturn:
        name = self._iosdk_description.name
        raise TypeError(f"Actor class {name} cannot be instantiated directly. Use '{name}.remote()', not '{name}()'.")

    def remote(self, *args: Any, **kwargs: Any) -> ActorHandle:
        """Starts an actor and returns its handle at once; what goes wrong is told by the first call.

        Raises `TypeError` when the arguments do not fit the constructor or cannot be pickled.
        """
        return self._create(self._iosdk_options, args, kwargs)

    def options(self, **options: Any) -> ActorOptions:
        """This class with other options: `A.options(num_cpus=1).remote()`."""
        _options.check(options, "actors", in_options=True)
        return ActorOptions(self, {**self._iosdk_options, **options})

    def bind(self, *_args: Any, **_kwargs: Any) -> NoReturn:
        """Not there yet."""
        raise not_yet(f"{self._iosdk_description.name}.bind()", OTHERS["bind"])

    def _remote(self, args: Any = (), kwargs: Mapping[str, Any] | None = None, **options: Any) -> ActorHandle:
        """The low-level form: arguments as a sequence and a dict, options as keywords."""
        wrapped = self.options(**options) if options else self
        return wrapped.remote(*args, **(kwargs or {}))

    def _create(self, options: Mapping[str, Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> ActorHandle:
        description = self._iosdk_description
        if description.async_methods:
            what = f"actor {description.name} with async method {description.async_methods[0]}"
            raise not_yet(what, OTHERS["async methods"])
        description.constructor.bind(args, kwargs)
        _session.ensure_connected()
        placement, held = _options.actor_resources(options)
        definition = self._definition(held)
        try:
            core = _core.create_actor(definition, description.name, placement, held, args, kwargs)
        except TypeError as error:
            from iosdk._serialization import CouldNotSerialize

            if isinstance(error, CouldNotSerialize):
                raise error.for_call(description.constructor.bind) from error.problem
            raise
        return ActorHandle(core, description)

    def _definition(self, held: dict[str, float]) -> int:
        if self._iosdk_key is None:
            name, module = self._iosdk_description.name, self._iosdk_description.module
            if self._iosdk_pickled is None:
                from iosdk._serialization import dumps_definition

                self._iosdk_pickled = dumps_definition(self._iosdk_plain, "actor", name, module)
            self._iosdk_key = _core.define(CLASS, name, module, self._iosdk_pickled, held, b"")
            _connected.add(self)
        return self._iosdk_key

    def _forget(self) -> None:
        self._iosdk_key = None
        if self._iosdk_plain is not None:
            self._iosdk_pickled = None

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_iosdk_") or (name.startswith("__") and name.endswith("__")):
            raise AttributeError(name)
        return getattr(self._plain(), name)

    def _plain(self) -> Any:
        if self._iosdk_plain is None:
            import pickle

            assert self._iosdk_pickled is not None
            self._iosdk_plain = pickle.loads(self._iosdk_pickled)
        return self._iosdk_plain

    def __dir__(self) -> Iterable[str]:
        return sorted({*dir(self._plain()), "options", "remote", "bind"})

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        plain = self._iosdk_plain if self._iosdk_pickled is None else None
        return _rebuild_class, (plain, self._iosdk_pickled, self._iosdk_options, self._iosdk_description)

    def __repr__(self) -> str:
        return f"ActorClass({self._iosdk_description.name})"


class ActorOptions:
    """An actor class together with options, as `.options()` gives it."""

    __slots__ = ("_class", "_options")

    def __init__(self, actor_class: ActorClass, options: dict[str, Any]) -> None:
        self._class = actor_class
        self._options = options

    def remote(self, *args: Any, **kwargs: Any) -> ActorHandle:
        """As `ActorClass.remote`, with these options."""
        return self._class._create(self._options, args, kwargs)

    def bind(self, *_args: Any, **_kwargs: Any) -> NoReturn:
        """Not there yet."""
        self._class.bind()


def _rebuild_class(
    plain: Any, pickled: bytes | None, options: dict[str, Any], description: ClassDescription
) -> ActorClass:
    actor_class = ActorClass.__new__(ActorClass)
    actor_class._set(plain, pickled, options, description)
    return actor_class


class ActorHandle:
    """An actor, wherever it runs: `handle.method.remote(...)`. Handles can be passed on and stored; they compare and
    hash by the actor. When the last one is gone, the actor ends after the calls made before."""

    _iosdk_core: _core.ActorCore
    _iosdk_description: ClassDescription

    def __init__(self, core: _core.ActorCore, description: ClassDescription) -> None:
        fields = self.__dict__
        fields["_iosdk_core"] = core
        fields["_iosdk_description"] = description
        for name in description.shadowed:
            fields[name] = ActorMethod(core, description, name)

    def __getattr__(self, name: str) -> ActorMethod:
        if name.startswith("_iosdk_"):
            raise AttributeError(name)
        description = self._iosdk_description
        if name not in description.methods:
            raise AttributeError(f"Actor class {description.name} has no method {name!r}")
        method = self.__dict__[name] = ActorMethod(self._iosdk_core, description, name)
        return method

    @property
    def _actor_id(self) -> str:
        return self._iosdk_core.actor_id().hex()

    def __dir__(self) -> Iterable[str]:
        return sorted({"__init__", *self._iosdk_description.methods})

    def __repr__(self) -> str:
        return f"Actor({self._iosdk_description.name}, {self._actor_id})"

    def __hash__(self) -> int:
        return hash(self._iosdk_core)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ActorHandle) and self._iosdk_core == other._iosdk_core

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        core = self._iosdk_core
        return _rebuild_handle, (core.actor_id(), core.counting_ref(), self._iosdk_description)


def _rebuild_handle(actor_id: bytes, counting_ref: Any, description: ClassDescription) -> ActorHandle:
    return ActorHandle(_core.adopt_actor(actor_id, counting_ref), description)


class ActorMethod:
    """A method of an actor: `handle.method.remote(...)`, `handle.method.options(...).remote(...)`."""

    __slots__ = ("_core", "_description", "_name", "_options", "remote")

    remote: Callable[..., Any]

    def __init__(
        self,
        core: _core.ActorCore,
        description: ClassDescription,
        name: str,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        self._core = core
        self._description = description
        self._name = name
        self._options = options
        found = description.methods[name]
        given = {**found.options, **(options or {})}
        returns = given.get("num_returns")
        if isinstance(returns, str) or (returns is None and found.generator):
            self.remote = _no_streams(f"{description.name}.{name}")
            return
        signature = found.signature
        self.remote = _core.MethodCaller(
            core,
            description.key_of(name),
            1 if returns is None else int(returns),
            signature.min_args,
            signature.max_args,
            signature.bind,
        )

    def options(self, **options: Any) -> ActorMethod:
        """This method with other options, such as `num_returns`."""
        _options.check(options, "actor methods", in_options=True)
        found = self._description.methods[self._name]
        if isinstance(options.get("num_returns"), str):
            if not found.generator:
                raise ValueError(f"num_returns={options['num_returns']!r} can only be used with generator methods")
            raise not_yet(f"option num_returns={options['num_returns']!r}", OPTIONS["num_returns"])
        return ActorMethod(self._core, self._description, self._name, {**(self._options or {}), **options})

    def bind(self, *_args: Any, **_kwargs: Any) -> NoReturn:
        """Not there yet."""
        raise not_yet(f"{self._description.name}.{self._name}.bind()", OTHERS["bind"])

    def _remote(self, args: Any = (), kwargs: Mapping[str, Any] | None = None, **options: Any) -> Any:
        """The low-level form: arguments as a sequence and a dict, options as keywords."""
        wrapped = self.options(**options) if options else self
        return wrapped.remote(*args, **(kwargs or {}))

    def __call__(self, *_args: Any, **_kwargs: Any) -> NoReturn:
        name = self._name
        raise TypeError(f"Actor methods cannot be called directly. Instead of '{name}()', use '{name}.remote()'.")

    def __dir__(self) -> Iterable[str]:
        return ["bind", "options", "remote"]

    def __repr__(self) -> str:
        return f"ActorMethod({self._description.name}.{self._name})"


def _no_streams(name: str) -> Callable[..., NoReturn]:
    def remote(*_args: Any, **_kwargs: Any) -> NoReturn:
        raise not_yet(f"calling the generator {name} without a fixed num_returns", OTHERS["streaming generators"])

    return remote


def method(*args: Any, **options: Any) -> Any:
    """Options of an actor's method, given where it is defined: `@method(num_returns=2)`, or bare `@method`.

    Raises `AssertionError` for other keywords than Ray's.
    """
    valid = sorted(_options.METHOD)
    if len(args) == 1 and not options and callable(args[0]):
        return args[0]
    assert not args and options and all(name in _options.METHOD for name in options), (
        f"@method takes nothing, or one or more of the keywords {valid}, not "
        f"{args or sorted(options) or 'empty parentheses'}"
    )
    for name, value in options.items():
        _options.check_value(name, value, _options.METHOD[name])
    _options.check(options, "actor methods")

    def mark(function: Any) -> Any:
        function.__iosdk_method_options__ = options
        return function

    return mark


def exit_actor() -> NoReturn:
    """Ends the actor that calls this. Code after it does not run, calls that wait fail with `RayActorError`, and the
    actor is not restarted. Raises `TypeError` outside actors."""
    if not (_session.is_initialized() and _core.task_context().get("is_actor")):
        raise TypeError("exit_actor API is called on a non-actor worker: it ends the actor whose method calls it.")
    _core.ask_exit()
    raise SystemExit(0)
