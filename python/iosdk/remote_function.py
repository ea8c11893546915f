"""Functions as tasks: `RemoteFunction`, what `@remote` makes of a function.

`f.remote` is a method until its first call in a session; then the instance gets an attribute of that name, a Rust
`TaskCaller`, so that later calls run no Python of ours. When the session ends the attribute goes away again.
"""

from __future__ import annotations

import weakref

from iosdk import _core, _options, _session, _signature
from iosdk._not_yet import OPTIONS, OTHERS, not_yet

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any, Generic, NoReturn, TypeVar

    from iosdk._core import ObjectRef

    R = TypeVar("R")

    class _Base(Generic[R]):
        pass
else:

    class _Base:
        __slots__ = ()

        def __class_getitem__(cls, _parameters):
            return cls


FUNCTION = 0

# Those that hold a caller of the running session.
_connected: weakref.WeakSet[RemoteFunction[Any]] = weakref.WeakSet()

# In a worker: the bytes that a function was loaded from, so that tasks it submits define it by the same bytes.
_loaded_from: weakref.WeakKeyDictionary[Any, bytes] = weakref.WeakKeyDictionary()


def _forget_callers() -> None:
    for function in list(_connected):
        function._forget()
    _connected.clear()


_session.on_end(_forget_callers)


def note_loaded(function: object, pickled: bytes) -> None:
    """Remembers that `function` came from `pickled`."""
    _loaded_from[function] = pickled


class RemoteFunction(_Base["R"]):
    """A function whose calls run as tasks: `f.remote(...)` gives references to what it will return.

    `f.options(...)` gives the same function with other options. Calling `f(...)` itself raises `TypeError`.
    """

    def __init__(self, function: Callable[..., R], options: Mapping[str, Any]) -> None:
        if _signature.is_async(function):
            raise ValueError(
                f"{_name_of(function)} is defined with 'async def', which remote tasks cannot be. Use an actor with "
                "async "
                "methods, or call asyncio.run() in a plain function."
            )
        _check_generator(options, _signature.is_generator(function))
        self._set(function, None, dict(options), None)

    def _set(
        self, function: Any, pickled: bytes | None, options: dict[str, Any], about: tuple[Any, ...] | None
    ) -> None:
        self._iosdk_function = function
        self._iosdk_pickled = pickled
        self._iosdk_options = options
        self._iosdk_callers: dict[Any, _core.TaskCaller] = {}
        self._iosdk_about = about or (
            _name_of(function),
            getattr(function, "__module__", None) or "__main__",
            _signature.of(function, _name_of(function)),
            _signature.is_generator(function),
        )
        if function is not None:
            for attribute in ("__name__", "__qualname__", "__module__", "__doc__"):
                self.__dict__[attribute] = getattr(function, attribute, None)
            self.__dict__["__wrapped__"] = function

    def __call__(self, *_args: Any, **_kwargs: Any) -> NoReturn:
        name = self._iosdk_about[0]
        raise TypeError(f"Remote function {name} cannot be called directly. Use '{name}.remote()', not '{name}()'.")

    def remote(self, *args: Any, **kwargs: Any) -> ObjectRef[R]:
        """Submits a task and returns at once: a reference to its result; a list of them for `num_returns` above 1; None
        for 0. References among the arguments are replaced by their values before the task runs.

        Raises `TypeError` when the arguments do not fit the signature or cannot be pickled.
        """
        caller = self._caller(self._iosdk_options)
        self.__dict__["remote"] = caller
        return caller(*args, **kwargs)  # type: ignore[no-any-return]

    def options(self, **options: Any) -> TaskOptions[R]:
        """This function with other options, for one or more calls: `f.options(num_cpus=2).remote(x)`."""
        _options.check(options, "remote functions", in_options=True)
        merged = {**self._iosdk_options, **options}
        _check_generator(merged, self._iosdk_about[3])
        return TaskOptions(self, merged)

    def bind(self, *_args: Any, **_kwargs: Any) -> NoReturn:
        """Not there yet."""
        raise not_yet(f"{self._iosdk_about[0]}.bind()", OTHERS["bind"])

    def _remote(self, args: Any = (), kwargs: Mapping[str, Any] | None = None, **options: Any) -> Any:
        """The low-level form: arguments as a sequence and a dict, options as keywords."""
        wrapped = self.options(**options) if options else self
        return wrapped.remote(*args, **(kwargs or {}))

    def _caller(self, options: Mapping[str, Any]) -> _core.TaskCaller:
        _session.ensure_connected()
        name, module, signature, generator = self._iosdk_about
        returns = _number_of_returns(options, generator, name)
        resources = _options.task_resources(options)
        retry = _options.retry_bytes(options)
        retries = _options.max_retries(options)
        shown = options.get("name") or name
        key = (shown, tuple(sorted(resources.items())), retry, returns, retries)
        caller = self._iosdk_callers.get(key)
        if caller is None:
            function = _core.define(FUNCTION, shown, module, self._bytes(name, module), resources, retry)
            caller = _core.TaskCaller(
                function,
                _core.scheduling_class(resources),
                returns,
                retries,
                signature.min_args,
                signature.max_args,
                signature.bind,
            )
            self._iosdk_callers[key] = caller
            _connected.add(self)
        return caller

    def _bytes(self, name: str, module: str) -> bytes:
        if self._iosdk_pickled is None:
            pickled = _loaded_from.get(self._iosdk_function)
            if pickled is None:
                from iosdk._serialization import dumps_definition

                pickled = dumps_definition(self._iosdk_function, "remote function", name, module)
            self._iosdk_pickled = pickled
        return self._iosdk_pickled

    def _forget(self) -> None:
        self.__dict__.pop("remote", None)
        self._iosdk_callers.clear()
        if self._iosdk_function is not None:
            self._iosdk_pickled = None  # it may hold references of the session that ended

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        # By its bytes once they are known. While they are being made, and before, by the function itself: a function
        # that refers to itself must meet itself in the pickle.
        function = self._iosdk_function if self._iosdk_pickled is None else None
        return _rebuild, (function, self._iosdk_pickled, self._iosdk_options, self._iosdk_about)

    def __repr__(self) -> str:
        name, module, *_ = self._iosdk_about
        return f"<remote function {module}.{name}>"


class TaskOptions(_Base["R"]):
    """A remote function together with options, as `.options()` gives it."""

    __slots__ = ("_function", "_options")

    def __init__(self, function: RemoteFunction[R], options: dict[str, Any]) -> None:
        self._function = function
        self._options = options

    def remote(self, *args: Any, **kwargs: Any) -> ObjectRef[R]:
        """As `RemoteFunction.remote`, with these options."""
        return self._function._caller(self._options)(*args, **kwargs)  # type: ignore[no-any-return]

    def bind(self, *_args: Any, **_kwargs: Any) -> NoReturn:
        """Not there yet."""
        self._function.bind()


def _rebuild(
    function: Any, pickled: bytes | None, options: dict[str, Any], about: tuple[Any, ...]
) -> RemoteFunction[Any]:
    remote: RemoteFunction[Any] = RemoteFunction.__new__(RemoteFunction)
    remote._set(function, pickled, options, about)
    return remote


def _name_of(function: object) -> str:
    return getattr(function, "__qualname__", None) or getattr(function, "__name__", None) or repr(function)


def _check_generator(options: Mapping[str, Any], generator: bool) -> None:
    returns = options.get("num_returns")
    if isinstance(returns, str) and not generator:
        raise ValueError(f'num_returns="{returns}" can only be used with generator functions')


def _number_of_returns(options: Mapping[str, Any], generator: bool, name: str) -> int:
    returns = options.get("num_returns")
    if isinstance(returns, str):
        raise not_yet(f"option num_returns={returns!r} of {name}", OPTIONS["num_returns"])
    if returns is None and generator:
        raise not_yet(f"calling the generator {name} without a fixed num_returns", OTHERS["streaming generators"])
    return 1 if returns is None else int(returns)
