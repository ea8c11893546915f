"""iosdk: functions as tasks, classes as actors, values in shared memory; Ray's API on a Rust core.

import iosdk

@iosdk.remote
def square(x):
    return x * x

print(iosdk.get([square.remote(i) for i in range(4)]))
"""

from iosdk import exceptions
from iosdk._api import cancel, get, kill, put, wait
from iosdk._core import ObjectRef
from iosdk._init import init
from iosdk._queries import available_resources, cluster_resources, nodes
from iosdk._remote import remote
from iosdk._session import is_initialized, shutdown
from iosdk.actor import method
from iosdk.runtime_context import get_runtime_context

__version__ = "0.1.0"

ObjectID = ObjectRef

__all__ = [
    "ObjectID",
    "ObjectRef",
    "__version__",
    "available_resources",
    "cancel",
    "cluster_resources",
    "exceptions",
    "get",
    "get_runtime_context",
    "init",
    "is_initialized",
    "kill",
    "method",
    "nodes",
    "put",
    "remote",
    "shutdown",
    "wait",
]


def __getattr__(name: str) -> object:
    if name == "util":
        # Not with the rest: few programs need it, and every worker would pay for it.
        from importlib import import_module

        return import_module("iosdk.util")
    from iosdk import _not_yet

    if name in _not_yet.NAMES:
        raise _not_yet.not_yet(f"iosdk.{name}", _not_yet.NAMES[name])
    raise AttributeError(f"module 'iosdk' has no attribute {name!r}")
