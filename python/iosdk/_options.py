"""The options of tasks, actors and methods: which exist, which values they take, what they default to, and what they
mean in resources. Checked when a function or class is decorated or `.options()` is called, without a running cluster.

Wrong type: `TypeError`. Wrong value or unknown keyword: `ValueError`. Right but not there yet: `NotImplementedError`.
`None` and defaults always pass.
"""

from __future__ import annotations

import os

from iosdk._not_yet import OPTIONS as _NOT_YET
from iosdk._not_yet import not_yet

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    Check = Callable[[str, Any], str | None]

PRECISION = 0.0001
NONE = type(None)


class Option:
    """`types`: classes a value may have, () for any. `check` says what is wrong with a value of the right type.
    `supported` tells whether a valid value is there yet (None: all are); the `default` always is."""

    __slots__ = ("check", "default", "supported", "types")

    def __init__(
        self,
        types: tuple[type, ...],
        check: Check | None = None,
        default: Any = None,
        supported: Callable[[Any], bool] | None = None,
    ) -> None:
        self.types = types
        self.check = check
        self.default = default
        self.supported = supported


def _quantity(name: str, value: Any) -> str | None:
    if value is None:
        return None
    if value != value or value in (float("inf"), float("-inf")):
        return f"The quantity of resource {name} must be finite, not {value}"
    if value < 0:
        return f"The quantity of resource {name} cannot be negative: {value}"
    if 0 < value < PRECISION:
        return f"The precision of the fractional quantity of resource {name} cannot go beyond {PRECISION}: {value}"
    return None


def _gpus(name: str, value: Any) -> str | None:
    problem = _quantity(name, value)
    if problem is None and value is not None and value > 1 and value != int(value):
        return f"num_gpus above 1 must be a whole number, not {value}"
    return problem


def _custom_resources(_name: str, value: Mapping[str, Any] | None) -> str | None:
    for name, quantity in (value or {}).items():
        if name in ("CPU", "GPU"):
            return f"Use the option num_cpus or num_gpus instead of {name!r} in 'resources'"
        if name in ("memory", "object_store_memory", "bundle"):
            return f"{name!r} cannot be named in 'resources'; it has an option of its own or none"
        if not isinstance(name, str) or not name:
            raise TypeError(f"The names in 'resources' must be non-empty strings, not {name!r}")
        if isinstance(quantity, bool) or not isinstance(quantity, (int, float)):
            raise TypeError(f"The type of resource {name!r} must be int or float, not {type(quantity).__name__}")
        problem = _quantity(name, quantity)
        if problem:
            return problem
        if quantity > 1 and quantity != int(quantity):
            return f"Resource {name!r} above 1 must be a whole number, not {quantity}"
    return None


def _count(infinite: bool) -> Check:
    def check(name: str, value: int | None) -> str | None:
        if value is None or value >= 0 or (infinite and value == -1):
            return None
        allowed = "-1 (which means infinity), 0 or a positive integer" if infinite else "0 or a positive integer"
        return f"The keyword '{name}' only accepts {allowed}, not {value}"

    return check


def _positive_or_off(name: str, value: int | None) -> str | None:
    if value is None or value > 0 or value == -1:
        return None
    return f"The keyword '{name}' must be positive, or -1 to switch it off, not {value}"


def _positive(name: str, value: int | None) -> str | None:
    return None if value is None or value > 0 else f"The keyword '{name}' must be positive, not {value}"


def _returns(name: str, value: int | str | None) -> str | None:
    if value is None or value in ("dynamic", "streaming") or (not isinstance(value, str) and value >= 0):
        return None
    return f'The keyword \'{name}\' only accepts None, 0 or a positive integer, "streaming" or "dynamic", not {value!r}'


def _exceptions(name: str, value: Any) -> str | None:
    if isinstance(value, (list, tuple)):
        for kind in value:
            if not (isinstance(kind, type) and issubclass(kind, Exception)):
                return f"The keyword '{name}' takes a bool or a list of exception classes, but has {kind!r}"
    return None


def _name(name: str, value: str | None) -> str | None:
    return f"The keyword '{name}' must not be an empty string" if value == "" else None


def _lifetime(name: str, value: str | None) -> str | None:
    if value in (None, "detached", "non_detached"):
        return None
    return f'The keyword \'{name}\' must be None, "detached" or "non_detached", not {value!r}'


def _selectors(name: str, value: list[Any] | None) -> str | None:
    for entry in value or ():
        if not isinstance(entry, dict) or set(entry) != {"label_selector"}:
            return f"Each entry of '{name}' is a dict with the one key 'label_selector', not {entry!r}"
    return None


def _no_store_memory(name: str, value: Any) -> str | None:
    return None if value is None else f"The option '{name}' is not implemented for tasks"


def _never(_value: Any) -> bool:
    return False


_COUNT, _COUNT_OR_INFINITE = _count(False), _count(True)

_COMMON: dict[str, Option] = {
    "num_cpus": Option((int, float, NONE), _quantity),
    "num_gpus": Option((int, float, NONE), _gpus),
    "resources": Option((dict, NONE), _custom_resources),
    "memory": Option((int, float, NONE), _quantity),
    "accelerator_type": Option((str, NONE), None, None, _never),
    "label_selector": Option((dict, NONE), None, None, lambda value: not value),
    "fallback_strategy": Option((list, NONE), _selectors, None, lambda value: not value),
    "scheduling_strategy": Option((), None, None, lambda value: value == "DEFAULT"),
    "placement_group": Option((), None, "default", lambda value: value in (None, "default")),
    "placement_group_bundle_index": Option((int, NONE), None, -1, _never),
    "placement_group_capture_child_tasks": Option((bool, NONE), None, None, _never),
    "runtime_env": Option((), None, None, lambda value: not value),
    "enable_task_events": Option((bool, NONE), None, True),
    "_labels": Option((dict, NONE), None, None, lambda value: not value),
}

TASK: dict[str, Option] = {
    **_COMMON,
    "name": Option((str, NONE), None),
    "object_store_memory": Option((int, NONE), _no_store_memory),
    "num_returns": Option((int, str, NONE), _returns, None, lambda value: not isinstance(value, str)),
    "max_calls": Option((int, NONE), _COUNT, 0, _never),
    "max_retries": Option((int, NONE), _COUNT_OR_INFINITE, 3),
    "retry_exceptions": Option((bool, list, tuple, NONE), _exceptions, False),
    "_generator_backpressure_num_objects": Option((int, NONE), _positive_or_off, None, lambda value: value == -1),
    "_num_objects_per_yield": Option((int, NONE), _positive, 1, _never),
}

ACTOR: dict[str, Option] = {
    **_COMMON,
    "name": Option((str, NONE), _name, None, _never),
    "namespace": Option((str, NONE), _name, None, _never),
    "lifetime": Option((str, NONE), _lifetime, None, lambda value: value == "non_detached"),
    "get_if_exists": Option((bool, NONE), None, False, _never),
    "object_store_memory": Option((int, NONE), _quantity, None, _never),
    "max_concurrency": Option((int, NONE), _COUNT, None, lambda value: value == 1),
    "concurrency_groups": Option((list, dict, NONE), None, None, lambda value: not value),
    "max_restarts": Option((int, NONE), _COUNT_OR_INFINITE, 0, _never),
    "max_task_retries": Option((int, NONE), _COUNT_OR_INFINITE, 0, _never),
    "max_pending_calls": Option((int, NONE), _COUNT_OR_INFINITE, -1, _never),
    "allow_out_of_order_execution": Option((bool, NONE), None, None, lambda value: value is False),
    "enable_tensor_transport": Option((bool, NONE), None, None, lambda value: value is False),
    "_actor_generator_backpressure_num_objects": Option((int, NONE), _positive_or_off, None, lambda value: value == -1),
}

# Of `@method` and of `handle.method.options()`.
METHOD: dict[str, Option] = {
    "num_returns": TASK["num_returns"],
    "concurrency_group": Option((str, NONE), None, None, _never),
    "max_task_retries": ACTOR["max_task_retries"],
    "retry_exceptions": Option((bool, list, tuple, NONE), _exceptions, False, lambda value: not value),
    "_generator_backpressure_num_objects": TASK["_generator_backpressure_num_objects"],
    "_num_objects_per_yield": TASK["_num_objects_per_yield"],
    "enable_task_events": _COMMON["enable_task_events"],
    "tensor_transport": Option((), None, None, _never),
}

METHOD_CALL: dict[str, Option] = {
    **METHOD,
    "name": Option((str, NONE), None, None, _never),
    "_labels": _COMMON["_labels"],
}

_KINDS = {"remote functions": TASK, "actors": ACTOR, "actor methods": METHOD_CALL}


def check(options: Mapping[str, Any], kind: str, in_options: bool = False) -> None:
    """Raises for the first option that is wrong or not there yet.

    `kind`: "remote functions", "actors" or "actor methods". `in_options`: given to `.options()`, not to the decorator.
    """
    table = _KINDS[kind]
    for name, value in options.items():
        option = table.get(name)
        if option is None:
            raise ValueError(f"Invalid option keyword {name!r} for {kind}. Valid ones are {sorted(table)}.")
        check_value(name, value, option)
    if in_options:
        _check_in_options(options)
    if options.get("get_if_exists") and not options.get("name"):
        raise ValueError("get_if_exists=True needs the actor's name as well")
    if options.get("scheduling_strategy") is not None and options.get("placement_group", "default") != "default":
        raise ValueError("Give either scheduling_strategy or placement_group, not both")
    for name, value in options.items():
        _check_there(name, value, table[name])


def check_value(name: str, value: Any, option: Option) -> None:
    """Raises when `value` has the wrong type or is no valid value, whether or not it is there yet."""
    if option.types and not isinstance(value, option.types):
        wanted = " or ".join("None" if kind is NONE else kind.__name__ for kind in option.types)
        raise TypeError(f"The type of keyword '{name}' must be {wanted}, but it is {type(value).__name__}: {value!r}")
    problem = option.check(name, value) if option.check else None
    if problem:
        raise ValueError(problem)
    if name == "scheduling_strategy" and isinstance(value, str) and value not in ("DEFAULT", "SPREAD"):
        raise ValueError(f'scheduling_strategy is None, "DEFAULT", "SPREAD" or a strategy object, not {value!r}')
    if name == "scheduling_strategy" and isinstance(value, (int, float, list, dict, tuple, set)):
        raise TypeError(f"The type of keyword '{name}' must be str or a strategy object, not {type(value).__name__}")


def _check_there(name: str, value: Any, option: Option) -> None:
    if value is None or value == option.default or option.supported is None or option.supported(value):
        return
    if name == "num_returns":
        return  # decided when it is called: whether the function is a generator must be known
    raise not_yet(f"option {name}={value!r}", _NOT_YET[name])


def _check_in_options(options: Mapping[str, Any]) -> None:
    if "max_calls" in options:
        raise ValueError("Setting 'max_calls' is not supported in '.options()'; give it to the decorator")
    if "concurrency_groups" in options:
        raise ValueError("Setting 'concurrency_groups' is not supported in '.options()'; give it to the decorator")


def task_resources(options: Mapping[str, Any]) -> dict[str, float]:
    """What one task of these options holds while it runs: 1 CPU unless told otherwise."""
    cpus = options.get("num_cpus")
    return _amounts(options, 1.0 if cpus is None else float(cpus))


def actor_resources(options: Mapping[str, Any]) -> tuple[dict[str, float], dict[str, float]]:
    """(what a node needs free to start it, what it holds while it lives).

    Nothing named (memory apart): 1 CPU to start, none held. Anything named: the same both times, an unnamed CPU being
    1.
    """
    cpus = options.get("num_cpus")
    named = cpus is not None or options.get("num_gpus") is not None or bool(options.get("resources"))
    if named:
        held = _amounts(options, 1.0 if cpus is None else float(cpus))
        return held, held
    return _amounts(options, 1.0), _amounts(options, 0.0)


def _amounts(options: Mapping[str, Any], cpus: float) -> dict[str, float]:
    amounts = {"CPU": cpus, "GPU": float(options.get("num_gpus") or 0)}
    amounts["memory"] = float(int(options.get("memory") or 0))
    for name, quantity in (options.get("resources") or {}).items():
        amounts[name] = float(quantity)
    return {name: amount for name, amount in amounts.items() if amount}


def max_retries(options: Mapping[str, Any]) -> int:
    """Tries after the first: the option, else `IOSDK_TASK_MAX_RETRIES`, else 3. -1: for ever."""
    given = options.get("max_retries")
    return int(os.environ.get("IOSDK_TASK_MAX_RETRIES", 3)) if given is None else int(given)


def retry_bytes(options: Mapping[str, Any]) -> bytes:
    """`retry_exceptions` as `define` takes it: b"" none, b"*" all, else the pickled classes."""
    retry = options.get("retry_exceptions")
    if not retry:
        return b""
    if retry is True:
        return b"*"
    import cloudpickle

    pickled: bytes = cloudpickle.dumps(list(retry), protocol=5)
    return pickled
