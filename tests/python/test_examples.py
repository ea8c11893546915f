"""The examples, in small form, as a reader of the README would run them."""

import os
import subprocess
import sys

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

pytestmark = [pytest.mark.iosdk, pytest.mark.timeout(170)]


def test_the_sweep_as_a_job_on_a_head(tmp_path):
    pytest.importorskip("sklearn")
    script = os.path.join(ROOT, "examples", "sweep_on_a_head.sh")
    path = os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]])
    done = subprocess.run(
        [script, "--first", "3", "--top", "2"],
        env={**os.environ, "PATH": path, "TMPDIR": str(tmp_path)},
        text=True,
        capture_output=True,
        timeout=160,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for part in ("The head runs", "3 configurations on 1797 images", "the best 2 of 3", "SUCCEEDED", "has ended"):
        assert part in done.stdout, done.stdout + done.stderr
    assert os.listdir(tmp_path) == []
