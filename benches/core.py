"""Measures the rows of one target in this interpreter.

`core.py --target iosdk|ray|pool [--quick] [--rows TEXT,...] [--row NAME] [--json PATH]`

Each row has a session of its own (four CPUs, no log to the driver, no dashboard): none inherits what another left.
`compare.py` runs this for two targets in alternating pairs and prints the table.
"""

import argparse
import importlib
import json
import os
import sys
import tempfile
import traceback
import uuid

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)

import callee  # noqa: E402 - found beside this file
import measure  # noqa: E402
import rows  # noqa: E402

MARK_NAME = "CORE_BENCH_MARK"
CPUS = 4


def init_options(target):
    """Arguments of `init` of a target."""
    options = {"num_cpus": CPUS, "log_to_driver": False}
    return {**options, "include_dashboard": False, "address": "local"} if target == "ray" else options


def begin(target):
    """A fresh session: the module of the target, or a pool of processes."""
    if target == "pool":
        import concurrent.futures
        import multiprocessing

        return concurrent.futures.ProcessPoolExecutor(CPUS, mp_context=multiprocessing.get_context("fork"))
    module = importlib.import_module(target)
    module.init(**init_options(target))
    return module


def end(target, session):
    session.shutdown()


def run_row(row, target, quick):
    """The samples of one row; an error is part of the result, not the end of the run."""
    function = row.pool if target == "pool" else row.run
    session = begin(target) if row.session else None
    try:
        samples = function(measure.Bench(target, session, quick))
        return {"unit": row.unit, **measure.summary(samples, row.higher)}
    except Exception:
        return {"unit": row.unit, "error": traceback.format_exc()}
    finally:
        if row.session:
            end(target, session)


def chosen(text):
    """Rows whose name contains one of the comma-separated texts; all when there is none."""
    wanted = [part.strip().lower() for part in text.split(",")] if text else [""]
    return [row for row in rows.all_rows() if any(part in row.name.lower() for part in wanted)]


def main():
    parser = argparse.ArgumentParser(description="Measure the core rows of one target.")
    parser.add_argument("--target", choices=["iosdk", "ray", "pool"], default="iosdk")
    parser.add_argument("--quick", action="store_true", help="small and short, to see that the rows work")
    parser.add_argument("--rows", default="", help="parts of row names, comma-separated")
    parser.add_argument("--row", help="the whole name of one row")
    parser.add_argument("--json", help="write the results here")
    arguments = parser.parse_args()

    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [HERE, os.environ.get("PYTHONPATH")]))
    os.environ[MARK_NAME] = uuid.uuid4().hex
    if arguments.target == "ray":
        os.environ.update(RAY_AUTH_MODE="disabled", RAY_USAGE_STATS_ENABLED="0")
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        os.environ[callee.FOLDER_NAME] = folder
        for row in chosen(arguments.rows):
            if arguments.row is not None and row.name != arguments.row:
                continue
            if arguments.target == "pool" and row.pool is None:
                continue
            results[row.name] = result = run_row(row, arguments.target, arguments.quick)
            text = result["error"] if "error" in result else f"{result['median']:,.4g} (p10 {result['p10']:,.4g})"
            print(f"{arguments.target:>6}  {row.name}: {text} {row.unit}", flush=True)
    if arguments.json:
        with open(arguments.json, "w") as file:
            json.dump({"target": arguments.target, "rows": results}, file, indent=1)
    return 1 if any("error" in result for result in results.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
