"""Ray's own job client against our head. `IOSDK_TEST_RAY_PYTHON`: an interpreter that has ray==2.60.0 installed."""

import os
import subprocess

import pytest
from heads import Head

RAY_PYTHON = os.environ.get("IOSDK_TEST_RAY_PYTHON")
pytestmark = [pytest.mark.iosdk, pytest.mark.timeout(150)]

SCRIPT = """
import sys, time
from ray.job_submission import JobStatus, JobSubmissionClient

client = JobSubmissionClient(sys.argv[1], headers={"Authorization": "Bearer " + open(sys.argv[2]).read().strip()})
assert client.get_version()
name = client.submit_job(entrypoint="echo $GREETING; exit 3", runtime_env={"env_vars": {"GREETING": "hello"}})
while not client.get_job_status(name).is_terminal():
    time.sleep(0.05)
assert client.get_job_status(name) == JobStatus.FAILED
assert client.get_job_info(name).driver_exit_code == 3
assert client.get_job_logs(name) == "hello\\n"
assert name in [job.submission_id for job in client.list_jobs()]
long = client.submit_job(entrypoint="sleep 100", submission_id="long", metadata={"a": "b"})
assert client.stop_job(long)
while not client.get_job_status(long).is_terminal():
    time.sleep(0.05)
assert client.get_job_status(long) == JobStatus.STOPPED
assert client.get_job_info(long).metadata == {"a": "b"}
assert client.delete_job(long)
try:
    client.submit_job(entrypoint="true", submission_id=name)
except RuntimeError as refused:
    assert name in str(refused)
else:
    raise AssertionError("a taken id was accepted")
print("ALL GOOD")
"""


@pytest.mark.skipif(RAY_PYTHON is None, reason="IOSDK_TEST_RAY_PYTHON names no interpreter with Ray")
def test_rays_job_client_speaks_to_our_head(tmp_path):
    head = Head(str(tmp_path))
    try:
        words = [RAY_PYTHON, "-c", SCRIPT, head.about["url"], os.path.join(head.data, "token")]
        done = subprocess.run(words, capture_output=True, text=True, timeout=120, cwd=tmp_path)
        assert "ALL GOOD" in done.stdout, done.stdout + done.stderr
    finally:
        head.stop()
