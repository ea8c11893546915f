"""A head writes down which tasks ended, whoever owned them, and however their owners ended."""

import collections
import pathlib
import struct

import pytest
from heads import Head
from probes import eventually

pytestmark = [pytest.mark.iosdk, pytest.mark.timeout(150)]

OUTCOMES = ["finished", "raised", "worker died", "actor died", "cancelled", "dependency failed", "infeasible"]
SLOT = 96

SCRIPT = """
import os, signal, time
import iosdk
iosdk.init()

@iosdk.remote
def leaf(i):
    return i

@iosdk.remote
def parent(n):
    return sum(iosdk.get([leaf.remote(i) for i in range(n)]))

@iosdk.remote(max_retries=0)
def wrong():
    raise ValueError("as intended")

@iosdk.remote(max_retries=1)
def deadly():
    os.kill(os.getpid(), signal.SIGKILL)

@iosdk.remote
class Counter:
    def add(self, i):
        return i

assert iosdk.get([leaf.remote(i) for i in range(500)]) == list(range(500))
assert iosdk.get([parent.remote(10) for _ in range(3)]) == [45] * 3
for bad in (wrong, deadly):
    try:
        iosdk.get(bad.remote())
    except Exception:
        pass
counter = Counter.remote()
iosdk.get([counter.add.remote(i) for i in range(20)])
"""


def records(data):
    """`(name, outcome)` of everything in the history, oldest first, and how many were lost.
    The bytes: `raylet/history/src/format.rs`."""
    found, lost = [], 0
    for path in sorted(pathlib.Path(data, "history").glob("*.tasks")):
        content, at, names = path.read_bytes(), 28, {}
        while at + 36 <= len(content):
            count, named, more = struct.unpack_from("<II12xQ", content, at + 4)
            at, lost = at + 36, lost + more
            end = at + named
            if end + count * SLOT > len(content):
                break
            while at < end:
                number, length = struct.unpack_from("<IB", content, at)
                names[number] = content[at + 5 : at + 5 + length].decode()
                at += 5 + length
            for _ in range(count):
                found.append((names.get(struct.unpack_from("<I", content, at + 52)[0]), OUTCOMES[content[at + 2]]))
                at += SLOT
    return found, lost


@pytest.fixture(scope="module")
def head(tmp_path_factory):
    running = Head(str(tmp_path_factory.mktemp("h")))
    yield running
    running.stop()


EXPECTED = {
    ("leaf", "finished"): 530,
    ("parent", "finished"): 3,
    ("wrong", "raised"): 1,
    ("deadly", "worker died"): 2,
    ("Counter", "finished"): 1,
    ("Counter.add", "finished"): 20,
}


def await_records(head, before):
    """Until what the script does is in the history, after what was there before; nothing of it may be lost."""
    expected = collections.Counter(before) + collections.Counter(EXPECTED)
    eventually(lambda: collections.Counter(records(head.data)[0]) == expected, 10, "all records")
    assert records(head.data)[1] == 0


def test_every_attempt_of_every_owner_is_written_down(head):
    before, _ = records(head.data)
    driver = head.driver(SCRIPT)
    _, err = driver.communicate(timeout=60)
    assert driver.returncode == 0, err
    await_records(head, before)


def test_what_a_killed_driver_saw_end_is_kept(head):
    before, _ = records(head.data)
    driver = head.driver(SCRIPT + "os.kill(os.getpid(), signal.SIGKILL)\n")
    driver.communicate(timeout=60)
    assert driver.returncode == -9
    await_records(head, before)


def test_a_head_that_starts_again_goes_on(head):
    before, _ = records(head.data)
    head.cli("stop", "--force")
    assert records(head.data)[0] == before
    head.start()
    driver = head.driver(SCRIPT)
    driver.communicate(timeout=60)
    assert driver.returncode == 0
    await_records(head, before)
