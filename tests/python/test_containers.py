"""What a container has less of than its machine: a small /dev/shm and a memory limit."""

import os
import shutil
import subprocess
import uuid

import pytest

pytestmark = pytest.mark.iosdk
MIB = 1024 * 1024

SMALL_SHM = """
    import numpy

    assert os.statvfs("/dev/shm").f_blocks * os.statvfs("/dev/shm").f_frsize == 64 << 20
    rt.init(**START)
    refs = [rt.put(numpy.full(64 << 20, i, numpy.uint8)) for i in range(4)]

    @rt.remote
    def ends(array):
        return int(array[0]) + int(array[-1]), array.nbytes

    assert rt.get([ends.remote(ref) for ref in refs]) == [(2 * i, 64 << 20) for i in range(4)]
    print("ALL GOOD")
"""

DEFAULT_STORE = """
    rt.init(**START)
    print("STORE", int(rt.cluster_resources()["object_store_memory"]))
"""


def mount_words():
    """The words before a command that give it mounts of its own: root may, users where the kernel lets them."""
    return ["unshare", *([] if os.getuid() == 0 else ["--map-root-user"]), "--mount"]


def can_mount():
    command = [*mount_words(), "mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", "/dev/shm"]
    return shutil.which("unshare") and subprocess.run(command, capture_output=True, check=False).returncode == 0


@pytest.mark.skipif(not can_mount(), reason="this user may not mount")
def test_a_small_shm_does_not_matter(driver):
    mounting = 'mount -t tmpfs -o size=64m tmpfs /dev/shm && exec "$0" "$@"'
    program = driver(SMALL_SHM, wrap=[*mount_words(), "sh", "-c", mounting], start={"object_store_memory": 512 * MIB})
    assert "ALL GOOD" in program.succeeds()


@pytest.fixture
def limited():
    """The words before a command that run it in a memory cgroup of 1 GiB."""
    version1 = os.path.isdir("/sys/fs/cgroup/memory")
    root = "/sys/fs/cgroup/memory" if version1 else "/sys/fs/cgroup"
    group = os.path.join(root, f"tests-{uuid.uuid4().hex}")
    limit = os.path.join(group, "memory.limit_in_bytes" if version1 else "memory.max")
    try:
        os.mkdir(group)
        with open(limit, "w") as file:
            file.write(str(1024 * MIB))
    except OSError as problem:
        if os.path.isdir(group):
            os.rmdir(group)
        pytest.skip(f"no memory cgroup can be made here: {problem}")
    yield ["sh", "-c", f'echo $$ > {group}/cgroup.procs && exec "$0" "$@"']
    os.rmdir(group)


def test_the_default_store_respects_the_memory_limit(driver, limited):
    said = driver(DEFAULT_STORE, wrap=limited, start={"object_store_memory": None}).succeeds()
    store = int(said.split("STORE")[1])
    assert 75 * MIB <= store <= 0.3 * 1024 * MIB
