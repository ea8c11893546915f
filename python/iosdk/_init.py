"""`init`: its arguments, checked as Ray checks them, turned into the daemon's configuration."""

from __future__ import annotations

import os
import sys

from iosdk import _session
from iosdk._not_yet import INIT as _NOT_YET
from iosdk._not_yet import not_yet

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from iosdk._context import RayContext

STORE_MIN_BYTES = 75 * 1024 * 1024


class _WrongType(AssertionError, TypeError):
    """What Ray says with an `assert`: caught as that, and as what it is."""


class _WrongName(AssertionError, ValueError):
    """As `_WrongType`."""


# Arguments of Ray that have no meaning here and are harmless.
_IGNORED = {"_driver_object_store_memory", "_skip_env_hook"}
_HIDDEN = {"_memory", "_temp_dir", "local_mode", "storage", "allow_multiple"}
_UNSET: tuple[object, ...] = (None, False, "", {}, [])


def init(
    address: str | None = None,
    *,
    num_cpus: float | None = None,
    num_gpus: float | None = None,
    resources: Mapping[str, float] | None = None,
    object_store_memory: int | None = None,
    ignore_reinit_error: bool = False,
    configure_logging: bool = True,
    logging_level: int | str = "info",
    logging_format: str | None = None,
    log_to_driver: bool | None = None,
    namespace: str | None = None,
    infeasible: str = "raise",
    **kwargs: Any,
) -> RayContext:
    """Starts a private cluster on this machine, which ends with this process, or joins a head that stands.

    `address`: None or "local" for a private cluster, "auto" for the head of this user (`iosdk start --head`), or the
    absolute path of a head's data directory. None and "auto" are replaced by `IOSDK_ADDRESS` where that is set.

    `num_cpus`, `num_gpus`, `resources`: what tasks may hold at once (default: the CPUs this process may use, no GPU).
    `object_store_memory`: bytes of shared memory for values (default 30 % of what the container or machine has, at
    least 75 MiB). `log_to_driver`: print workers' output here (default True, or `IOSDK_LOG_TO_DRIVER`). `namespace`:
    default a fresh one. `infeasible`: "raise" when a request can never be met, or "wait" as Ray does.

    Raises `RuntimeError` for a second `init` (unless `ignore_reinit_error`) and for unknown arguments, `TypeError` and
    `ValueError` for wrong ones, `NotImplementedError` for those of Ray that are not there yet (addresses of the
    network are), `ConnectionError` when no head of this user runs or when
    the cluster does not start.
    """
    _check_unknown(kwargs)
    address = _address(address)
    if _session.is_initialized():
        if not ignore_reinit_error:
            raise RuntimeError(
                "init was called in a running session. Maybe you called ray.init twice by accident? Call "
                "iosdk.shutdown() "
                "first, or give ignore_reinit_error=True."
            )
        return _session.context()
    if log_to_driver is None:
        log_to_driver = os.environ.get("IOSDK_LOG_TO_DRIVER", "1") != "0"
    sys_path = [os.path.abspath(entry) for entry in sys.path]
    if configure_logging and (logging_format is not None or logging_level != "info"):
        _configure_logging(logging_level, logging_format)
    if address is not None:
        given = {"num_cpus": num_cpus, "num_gpus": num_gpus, "resources": resources}
        _check_nothing_given({**given, "object_store_memory": object_store_memory, **kwargs}, address)
        _session.shutdown()
        context = _session.join_head(address, _namespace(namespace), sys_path, bool(log_to_driver))
        _install_sigterm_handler()
        return context
    config = {
        "python": sys.executable,
        "sys_path": sys_path,
        "num_cpus": _amount("num_cpus", num_cpus),
        "num_gpus": _amount("num_gpus", num_gpus),
        "resources": _resources(resources),
        "memory": _whole("_memory", kwargs.get("_memory"), 0),
        "object_store_memory": _whole("object_store_memory", object_store_memory, STORE_MIN_BYTES),
        "namespace": _namespace(namespace),
        "infeasible_waits": _infeasible(infeasible),
        "log_to_driver": bool(log_to_driver),
        "tmpdir": _temp_dir(kwargs.get("_temp_dir")),
    }
    _session.shutdown()  # what is left of a session whose daemon died
    context = _session.start_driver(config, str(config["namespace"]), bool(log_to_driver))
    _install_sigterm_handler()
    return context


def _check_unknown(kwargs: Mapping[str, Any]) -> None:
    unknown = [name for name in kwargs if name not in _NOT_YET and name not in _HIDDEN and name not in _IGNORED]
    if unknown:
        raise RuntimeError(f"Unknown keyword argument(s) of init: {', '.join(unknown)}")
    for name in ("local_mode", "storage", "allow_multiple"):
        if kwargs.get(name):
            raise RuntimeError(f"init({name}={kwargs[name]!r}) is not supported, as in Ray without a remote driver")
    system = kwargs.get("_system_config")
    if system is not None and not isinstance(system, dict):
        raise TypeError(f"_system_config must be a dict, not {type(system).__name__}")
    for name, value in kwargs.items():
        if name not in _NOT_YET or any(value is unset or value == unset for unset in _UNSET):
            continue
        if name == "dashboard_host" and value in ("127.0.0.1", "localhost"):
            continue
        raise not_yet(f"init({name}={value!r})", _NOT_YET[name])


def _address(address: str | None) -> str | None:
    """Which head to join, None for a private cluster."""
    if address is not None and not isinstance(address, str):
        raise TypeError(f"address must be a str, not {type(address).__name__}")
    if address in (None, "auto"):
        address = os.environ.get("IOSDK_ADDRESS") or address
    return None if address in (None, "local") else address


def _check_nothing_given(given: Mapping[str, Any], address: str) -> None:
    """A head has what it was started with: a driver that joins it cannot ask for other resources."""
    named = [name for name, value in given.items() if value is not None and name not in _IGNORED]
    if named:
        raise ValueError(
            f"init(address={address!r}) joins a running cluster, whose resources are given to `iosdk start`: "
            f"{', '.join(named)} cannot be given too"
        )


def _amount(name: str, value: Any) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise _WrongType(f"{name} must be a number, not {type(value).__name__}: {value!r}")
    if not 0 <= value < float("inf"):
        raise ValueError(f"{name} must be 0 or more, not {value}")
    return float(value)


def _whole(name: str, value: Any, minimum: int) -> int | None:
    amount = _amount(name, value)
    if amount is None:
        return None
    if amount < minimum:
        raise ValueError(f"{name} is {int(amount)} bytes, but at least {minimum} ({minimum // 2**20} MiB) are needed")
    return int(value)


def _resources(resources: Mapping[str, float] | None) -> dict[str, float]:
    if resources is None:
        return {}
    if not isinstance(resources, dict):
        raise TypeError(f"resources must be a dict, not {type(resources).__name__}: {resources!r}")
    amounts = {}
    for name, value in resources.items():
        if not isinstance(name, str):
            raise TypeError(f"The names in resources must be str, not {name!r}")
        if name in ("CPU", "GPU", "memory", "object_store_memory") or name.startswith("node:") or not name:
            raise _WrongName(f"resources cannot name {name!r}: use num_cpus, num_gpus, _memory or object_store_memory")
        amounts[name] = _amount(f"resources[{name!r}]", value) or 0.0
    return amounts


def _namespace(namespace: str | None) -> str:
    if namespace is None:
        return os.urandom(16).hex()
    if not isinstance(namespace, str):
        raise TypeError(f"namespace must be a str, not {type(namespace).__name__}: {namespace!r}")
    if not namespace:
        raise ValueError("namespace must not be an empty string")
    return namespace


def _infeasible(infeasible: str) -> bool:
    if infeasible not in ("raise", "wait"):
        raise ValueError(f'infeasible must be "raise" or "wait", not {infeasible!r}')
    return infeasible == "wait"


def _temp_dir(path: Any) -> str | None:
    if path is None:
        return None
    path = os.fspath(path)
    if not os.path.isabs(path):
        raise ValueError(f"_temp_dir must be an absolute path, not {path!r}")
    return str(path)


def _configure_logging(level: int | str, format_: str | None) -> None:
    import logging

    logger = logging.getLogger("iosdk")
    logger.setLevel(level.upper() if isinstance(level, str) else level)
    if format_ is not None:
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter(format_))
        logger.handlers[:] = [handler]
        logger.propagate = False


def _end_by_default(ours: object) -> None:
    """In a forked child: SIGTERM ends it, unless user code has set a handler of its own."""
    import signal

    if signal.getsignal(signal.SIGTERM) is ours:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _install_sigterm_handler() -> None:
    """SIGTERM ends the driver as `sys.exit` does, so that `atexit` and `finally` run. A handler of the user's stays."""
    import signal

    if signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        return

    ours = os.getpid()

    def end(signum: int, _frame: object) -> None:
        if os.getpid() != ours:
            # A fork of user code: it ends as it would without us, also where a SystemExit would be swallowed.
            signal.signal(signum, signal.SIG_DFL)
            os.kill(os.getpid(), signum)
        sys.exit(signum)

    try:
        signal.signal(signal.SIGTERM, end)
        os.register_at_fork(after_in_child=lambda: _end_by_default(end))
    except ValueError:
        import warnings

        warnings.warn(
            "init was called outside the main thread: SIGTERM will end this process without cleaning up.", stacklevel=3
        )
