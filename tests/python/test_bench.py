"""The benchmark runs small in every test run, so that its rows never rot. No speed is asserted."""

import json
import os
import subprocess
import sys

import pytest
from probes import TARGET

BENCHES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "benches")


@pytest.mark.iosdk
@pytest.mark.timeout(170)
def test_every_row_runs_small(alone, tmp_path):
    path = tmp_path / "rows.json"
    command = [sys.executable, os.path.join(BENCHES, "core.py"), "--target", TARGET, "--quick", "--json", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=160, check=False)
    rows = json.loads(path.read_text())["rows"] if path.exists() else {}
    failed = {name: row["error"] for name, row in rows.items() if "error" in row}
    assert done.returncode == 0 and not failed, f"{failed}\n{done.stdout}\n{done.stderr}"
    assert len(rows) >= 26 and all(row["median"] >= 0 for row in rows.values())


def test_a_row_that_runs_twice_is_refused():
    script = """
import os, sys, tempfile
sys.path.insert(0, sys.argv[1])
import callee, measure
os.environ[callee.FOLDER_NAME] = tempfile.mkdtemp()
bench = measure.Bench("none", None, True)
assert len(bench.rates(callee.count, 1)) >= 3
for calls in (0, 2):
    try:
        bench.rates(callee.count, calls)
    except AssertionError as error:
        print("REFUSED", error)
try:
    bench.elsewhere([os.getpid()])
except AssertionError as error:
    print("REFUSED", error)
import shutil
shutil.rmtree(os.environ[callee.FOLDER_NAME])
"""
    done = subprocess.run(
        [sys.executable, "-c", script, BENCHES], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.count("REFUSED") == 3
