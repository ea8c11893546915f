"""A head that stands: drivers join and leave it, each with its own workers; it ends when told to, with all it has."""

import ast
import json
import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request

import pytest
from heads import PROGRAM, Head
from probes import eventually

pytestmark = [pytest.mark.iosdk, pytest.mark.timeout(150)]

JOIN = """
import os, sys, time
import iosdk
WHO = os.environ.get("WHO")
iosdk.init()

@iosdk.remote
def about(i):
    print("printed by", WHO, i)
    return os.getpid(), os.getcwd()
"""


@pytest.fixture(scope="module")
def head(tmp_path_factory):
    running = Head(str(tmp_path_factory.mktemp("h")))
    yield running
    running.stop()


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    with open(f"/proc/{pid}/stat") as file:
        return file.read().rsplit(")", 1)[1].split()[0] != "Z"


def test_two_drivers_have_workers_of_their_own(head, tmp_path):
    script = JOIN + "print(iosdk.get([about.remote(i) for i in range(20)])); iosdk.shutdown()"
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    drivers = {name: head.driver(script, cwd=tmp_path / name, WHO=name) for name in ("one", "two")}
    seen = {}
    for name, driver in drivers.items():
        out, err = driver.communicate(timeout=60)
        assert driver.returncode == 0, err
        lines = out.splitlines()
        told = [line for line in lines if line.startswith("[")]
        found = ast.literal_eval(told[0])
        seen[name] = {pid for pid, _ in found}
        assert {cwd for _, cwd in found} == {str(tmp_path / name)}
        printed = [line for line in lines if "printed by" in line]
        assert len(printed) == 20 and all(f"printed by {name}" in line for line in printed)
    assert not seen["one"] & seen["two"]
    eventually(lambda: not any(map(alive, seen["one"] | seen["two"])), 10, "the end of the workers")


def test_a_killed_driver_takes_its_workers_along_and_nobody_elses(head, tmp_path):
    wait = "print(json.dumps(iosdk.get([about.remote(i) for i in range(4)]))); sys.stdout.flush(); sys.stdin.read()"
    script = JOIN.replace("import os,", "import json, os,").replace("iosdk.init()", "iosdk.init(log_to_driver=False)")
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    words, env = [sys.executable, "-c", script + wait], {**head.env, "WHO": "x"}
    drivers = [subprocess.Popen(words, env=env, **pipes) for _ in range(2)]
    workers = [{pid for pid, _ in json.loads(driver.stdout.readline())} for driver in drivers]
    drivers[0].kill()
    drivers[0].wait()
    eventually(lambda: not any(map(alive, workers[0])), 10, "the end of the workers of the killed driver")
    assert all(map(alive, workers[1]))
    drivers[1].communicate(timeout=60)
    eventually(lambda: not any(map(alive, workers[1])), 10, "the end of the workers of the other")


def test_tasks_and_actors_go_on_while_the_gcs_is_killed(head):
    script = """
import iosdk, os, sys
iosdk.init(log_to_driver=False)

@iosdk.remote
def square(i):
    return i * i

@iosdk.remote
class Counter:
    total = 0
    def add(self):
        self.total += 1
        return self.total, os.getpid()

counter = Counter.remote()
home = iosdk.get(counter.add.remote())[1]
print("ready", flush=True)
calls = 0
while not os.path.exists(sys.argv[1]):
    assert iosdk.get([square.remote(i) for i in range(50)]) == [i * i for i in range(50)]
    total, pid = iosdk.get(counter.add.remote())
    calls += 1
    assert (total, pid) == (calls + 1, home)
fresh = Counter.remote()
assert iosdk.get(fresh.add.remote())[0] == 1
print("calls", calls)
"""
    flag = os.path.join(head.data, "..", "go")
    driver = subprocess.Popen(
        [sys.executable, "-c", script, flag], env=head.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert driver.stdout.readline() == "ready\n"
    for _ in range(3):
        head.kill_gcs()
    with open(flag, "w"):
        pass
    out, err = driver.communicate(timeout=60)
    assert driver.returncode == 0, err
    assert int(out.split()[1]) > 10


def test_a_second_head_in_the_same_place_is_refused(head):
    done = head.cli("start", "--head", "--port", "0", code=1)
    assert str(head.pid()) in done.stderr or head.about["url"] in done.stderr


def test_no_byte_is_answered_without_the_token(head):
    url = head.about["url"]
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"{url}/api/jobs/", timeout=20)
    assert refused.value.code == 401
    with open(os.path.join(head.data, "token")) as file:
        token = file.read().strip()
    request = urllib.request.Request(f"{url}/api/jobs/", headers={"Authorization": f"Bearer {token}"})
    assert urllib.request.urlopen(request, timeout=20).status == 200
    assert urllib.request.urlopen(f"{url}/healthz", timeout=20).read() == b"ok"
    host = socket.gethostname()
    foreign = urllib.request.Request(
        f"{url}/api/jobs/", headers={"Authorization": f"Bearer {token}", "Host": f"{host}.example"}
    )
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(foreign, timeout=20)
    assert refused.value.code == 403
    assert all(os.stat(path).st_mode & 0o077 == 0 for path in (head.data, os.path.join(head.data, "token")))


def test_what_cannot_be_given_to_a_running_head(head):
    script = "import iosdk; iosdk.init(num_cpus=3)"
    _, err = head.driver(script).communicate(timeout=60)
    assert "num_cpus cannot be given too" in err


def test_nobody_there(tmp_path):
    env = {**os.environ, "XDG_STATE_HOME": str(tmp_path)}
    assert subprocess.run([PROGRAM, "status"], env=env, capture_output=True, timeout=60).returncode == 3
    script = "import iosdk; iosdk.init(address='auto')"
    done = subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, text=True, timeout=60)
    assert "iosdk start --head" in done.stderr and "ConnectionError" in done.stderr


@pytest.mark.parametrize("way", ["stop", "terminate", "kill"])
def test_nothing_is_left_of_a_head_that_ended(tmp_path, way):
    head = Head(str(tmp_path))
    script = JOIN + "iosdk.get(about.remote(1)); print('ready', flush=True); time.sleep(100)"
    driver = head.driver(script, WHO="x")
    while "ready" not in driver.stdout.readline():
        assert driver.poll() is None
    node, gcs = head.pid(), head.gcs_pid()
    if way == "stop":
        head.cli("stop")
    else:
        os.kill(node, signal.SIGTERM if way == "terminate" else signal.SIGKILL)
    eventually(lambda: not alive(node) and not alive(gcs), 10, "the end of the head")
    driver.kill()
    driver.communicate(timeout=60)
    head.start()  # in the same place, whatever way the last one ended
    assert head.pid() != node
    head.cli("stop")
    assert not os.path.exists(os.path.join(head.data, "node.sock"))
