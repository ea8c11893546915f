"""Runs the rows of `core.py` for iosdk, Ray and a process pool in alternating pairs and prints the table.

Each target runs in the interpreter of its own environment:

`compare.py --python-ray PATH [--python PATH] [--pairs 3] [--rows TEXT,...] [--quick] [--json PATH] [--markdown PATH]`
"""

import argparse
import datetime
import json
import os
import platform
import shlex
import statistics
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)

import core  # noqa: E402 - found beside this file


def measured(python, target, row, quick):
    """One run of one row in an interpreter of its own."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "out.json")
        command = [python, os.path.join(HERE, "core.py"), "--target", target, "--row", row.name, "--json", path]
        try:
            done = subprocess.run(
                [*command, "--quick"] if quick else command, capture_output=True, text=True, timeout=300, check=False
            )
        except subprocess.TimeoutExpired:
            return {"error": "no end within 300 s"}
        if not os.path.exists(path):
            return {"error": done.stderr[-2000:]}
        with open(path) as file:
            return json.load(file)["rows"].get(row.name, {"error": "not there"})


def gathered(runs):
    """What the runs of one target say together: the median of their medians, the median of their p10."""
    good = [run for run in runs if "error" not in run]
    if not good:
        return {"error": runs[-1]["error"] if runs else "no run"}
    return {
        "median": statistics.median(run["median"] for run in good),
        "p10": statistics.median(run["p10"] for run in good),
        "runs": [run["median"] for run in good],
        "failed": len(runs) - len(good),
    }


def verdict(row, ours, rays):
    """How many times better than Ray, and whether what is asked for is met."""
    ratio = None
    if ours and rays and "median" in ours and "median" in rays and ours["median"] and rays["median"]:
        ratio = ours["median"] / rays["median"] if row.higher else rays["median"] / ours["median"]
    met = []
    if row.floor is not None:
        met.append(None if ratio is None else ratio >= row.floor)
    if row.limit is not None:
        met.append(
            None
            if not ours or "median" not in ours
            else (ours["median"] >= row.limit if row.higher else ours["median"] <= row.limit)
        )
    return ratio, None if None in met else all(met)


def number(result):
    if not result:
        return "-"
    return "failed" if "error" in result else f"{result['median']:,.4g} ({result['p10']:,.4g})"


def asked(row):
    parts = [f"{row.floor:g} x"] if row.floor is not None else []
    if row.limit is not None:
        parts.append(f"{'>=' if row.higher else '<='} {row.limit:g}")
    return ", ".join(parts)


def table(lines):
    """The table as markdown."""
    out = [
        "| row | unit | iosdk: median (p10) | Ray: median (p10) | process pool | ratio | asked | met |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for line in lines:
        ratio = "-" if line["ratio"] is None else f"{line['ratio']:,.1f} x"
        met = {True: "yes", False: "**no**", None: "-"}[line["met"]]
        figures = [number(line[target]) for target in ("iosdk", "ray", "pool")]
        out.append("| " + " | ".join([line["row"], line["unit"], *figures, ratio, line["asked"], met]) + " |")
    return "\n".join(out)


def heading(arguments):
    """When, where and how; paths of this machine are left out."""
    words = ["PATH" if os.path.sep in word else word for word in sys.argv[1:]]
    command = shlex.join(["python", "benches/compare.py", *words])
    when = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
    machine = f"{os.cpu_count()} cores ({platform.machine()}), Python {platform.python_version()}"
    return f"Measured {when} on {machine}, {arguments.pairs} pairs, with `{command}`."


def compared(row, targets, arguments):
    """One row for all targets, in alternating order."""
    runs = {target: [] for target in targets}
    for pair in range(arguments.pairs):
        for target in list(targets) if pair % 2 == 0 else list(reversed(targets)):
            if target != "pool" or row.pool is not None:
                runs[target].append(measured(targets[target], target, row, arguments.quick))
    result = {target: gathered(found) if found else None for target, found in runs.items()}
    ratio, met = verdict(row, result.get("iosdk"), result.get("ray"))
    return {
        "row": row.name,
        "unit": row.unit,
        "iosdk": result.get("iosdk"),
        "ray": result.get("ray"),
        "pool": result.get("pool"),
        "ratio": ratio,
        "asked": asked(row),
        "met": met,
    }


def parsed():
    parser = argparse.ArgumentParser(description="Compare the core rows with Ray and a process pool.")
    parser.add_argument("--python", default=sys.executable, help="interpreter that has iosdk")
    parser.add_argument("--python-ray", help="interpreter that has ray; left out, Ray is not measured")
    parser.add_argument("--targets", default="iosdk,ray,pool")
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--rows", default="", help="parts of row names, comma-separated")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json")
    parser.add_argument("--markdown")
    return parser.parse_args()


def main():
    arguments = parsed()
    pythons = {"iosdk": arguments.python, "ray": arguments.python_ray, "pool": arguments.python}
    targets = {target: pythons[target] for target in arguments.targets.split(",") if pythons[target]}
    lines = []
    for row in core.chosen(arguments.rows):
        line = compared(row, targets, arguments)
        lines.append(line)
        for target in targets:
            if line[target]:
                raw = line[target].get("runs", line[target].get("error"))
                print(f"{row.name}: {target} {number(line[target])} {row.unit} {raw}", flush=True)
    text = f"{heading(arguments)}\n\n{table(lines)}\n"
    print("\n" + text)
    if arguments.markdown:
        with open(arguments.markdown, "w") as file:
            file.write(text)
    if arguments.json:
        with open(arguments.json, "w") as file:
            json.dump({"heading": heading(arguments), "rows": lines}, file, indent=1)
    return 1 if any("error" in (line[target] or {}) for line in lines for target in targets) else 0


if __name__ == "__main__":
    sys.exit(main())
