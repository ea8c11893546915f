"""`iosdk.util`: of Ray's utilities, what is there: `state`, what a head knows of tasks, actors and objects."""


def __getattr__(name: str) -> object:
    if name == "state":
        from importlib import import_module

        return import_module("iosdk.util.state")
    from iosdk import _not_yet

    if name in _not_yet.UTIL:
        raise _not_yet.not_yet(f"iosdk.util.{name}", _not_yet.UTIL[name])
    raise AttributeError(f"module 'iosdk.util' has no attribute {name!r}")
