"""The command `iosdk`: the Rust command line in this interpreter, and the example program."""

from __future__ import annotations

import signal
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code. `arguments`: without the program's name, default those of the process."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words[:1] == ["demo"]:
        return _demo(words[1:])
    from iosdk import _core, _session

    # The command line handles Ctrl-C itself where it has something to say, and else ends by it as any program.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    return _core.cli_main(words, _session.bare_program())


def _demo(arguments: list[str]) -> int:
    try:
        from importlib import import_module

        demo = import_module("iosdk._demo")
    except ModuleNotFoundError as missing:
        print(f"iosdk demo needs the package {missing.name!r}: pip install 'iosdk[demo]'", file=sys.stderr)
        return 1
    return int(demo.main(arguments) or 0)
