"""The command `iosdk`."""

from __future__ import annotations

import argparse
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_EXAMPLES = """examples:
  iosdk --version     what is installed
  iosdk demo          cross-validate some 40 models on all CPUs, with a progress bar and a table
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code. `arguments`: without the program's name, default those of the
    process."""
    from iosdk import __version__

    parser = argparse.ArgumentParser(
        prog="iosdk",
        description="Run Python functions as tasks and classes as actors on all CPUs.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"iosdk {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    commands.add_parser("demo", help="run the example program", description="Runs the example program.", add_help=True)
    chosen, rest = parser.parse_known_args(arguments)
    if chosen.command == "demo":
        return _demo(rest)
    if rest:
        parser.error(f"unknown arguments: {' '.join(rest)}")
    parser.print_help()
    return 2


def _demo(arguments: list[str]) -> int:
    try:
        from importlib import import_module

        demo = import_module("iosdk._demo")
    except ModuleNotFoundError as missing:
        print(f"iosdk demo needs the package {missing.name!r}: pip install 'iosdk[demo]'", file=sys.stderr)
        return 1
    return int(demo.main(arguments) or 0)
