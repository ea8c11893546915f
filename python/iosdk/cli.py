"""The command `iosdk`: the Rust command line out of the extension module, and beside it what needs Python."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code. `arguments`: without the program's name, default those of the
    process."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words[:1] == ["demo"]:
        return _demo(words[1:])
    if words[:1] in (["--version"], ["-V"]):
        from iosdk import __version__

        print(f"iosdk {__version__}")
        return 0
    return _rust(words)


def _rust(words: list[str]) -> int:
    import signal

    from iosdk import _core, _session

    # Python would note Ctrl-C and act on it only once the command is over.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    # `start` runs the head's processes by what runs this command line again, without any user code.
    return _core.cli_main(words, _session.bare_program())


def _demo(arguments: list[str]) -> int:
    try:
        from importlib import import_module

        demo = import_module("iosdk._demo")
    except ModuleNotFoundError as missing:
        print(f"iosdk demo needs the package {missing.name!r}: pip install 'iosdk[demo]'", file=sys.stderr)
        return 1
    return int(demo.main(arguments) or 0)
