"""However a driver ends, nothing of its cluster is left: processes, their children, sockets, shared memory, files."""

import os
import signal

import pytest
from probes import CLEANUP_SECONDS, ON_RAY, children_of, eventually, files_under, start_options

BODY = """
    import subprocess
    from probes import wait_for_file

    rt.init(**START)
    folder = {folder!r}

    @rt.remote
    def busy():
        child = {child}
        print("a line for the log", flush=True)
        open(folder + "/busy", "w").close()
        wait_for_file(folder + "/never")

    @rt.remote
    class Actor:
        def work(self, data):
            self.data = data
            return os.getpid()

    import numpy
    actor = Actor.remote()
    rt.get(actor.work.remote(rt.put(numpy.ones(1 << 20))))
    task = busy.remote()
    wait_for_file(folder + "/busy")
    print("READY")
    {ending}
"""

ENDINGS = {
    "return": "pass",
    "shutdown": "rt.shutdown()",
    "exception": "raise ValueError('on purpose')",
    "sys.exit": "sys.exit(3)",
    "os._exit": "os._exit(4)",
    "sigint": "rt.get(task)",
    "sigterm": "rt.get(task)",
    "sigkill": "rt.get(task)",
    "segfault": "import ctypes; ctypes.string_at(0)",
}
SIGNALS = {"sigint": signal.SIGINT, "sigterm": signal.SIGTERM, "sigkill": signal.SIGKILL}


@pytest.mark.parametrize(
    "ending", [*[name for name in ENDINGS if name != "sigkill"], pytest.param("sigkill", marks=pytest.mark.iosdk)]
)
def test_nothing_is_left(driver, tmp_path, ending):
    child = "None" if ON_RAY else 'subprocess.Popen(["sleep", "1000"], start_new_session=True)'
    shared = set(os.listdir("/dev/shm"))
    program = driver(BODY.format(folder=str(tmp_path), child=child, ending=ENDINGS[ending]))
    program.says("READY")
    if ending in SIGNALS:
        os.kill(program.process.pid, SIGNALS[ending])
    program.ends()
    eventually(lambda: not program.left(), CLEANUP_SECONDS, "the end of every process of the cluster")
    if not ON_RAY:
        eventually(lambda: not files_under(program.tmpdir), CLEANUP_SECONDS, "an empty temporary folder")
        assert set(os.listdir("/dev/shm")) <= shared


@pytest.mark.iosdk
def test_a_driver_that_dies_while_it_starts_leaves_nothing(driver):
    program = driver("""
        print("STARTING")
        rt.init(**START)
        print("STARTED")
    """)
    program.says("STARTING")
    os.kill(program.process.pid, signal.SIGKILL)
    program.ends()
    eventually(lambda: not program.left() and not files_under(program.tmpdir), CLEANUP_SECONDS, "an empty place")


@pytest.mark.iosdk
def test_a_killed_driver_with_many_actors_leaves_nothing(driver):
    program = driver("""
        rt.init(**START)

        @rt.remote
        class Actor:
            def work(self):
                return os.getpid()

        actors = [Actor.remote() for _ in range(20)]
        assert len(set(rt.get([actor.work.remote() for actor in actors]))) == 20
        print("READY")
        signal.pause()
    """)
    program.says("READY")
    assert len(program.left()) > 20
    os.kill(program.process.pid, signal.SIGKILL)
    program.ends()
    eventually(lambda: not program.left() and not files_under(program.tmpdir), CLEANUP_SECONDS, "an empty place")


@pytest.mark.iosdk
def test_a_killed_daemon_takes_everything_with_it(driver):
    program = driver("""
        rt.init(**START)

        @rt.remote
        def one():
            return os.getpid()

        rt.get(one.remote())
        print("READY")
        try:
            while True:
                rt.get(one.remote(), timeout=20)
        except rt.exceptions.RayError as error:
            print("TOLD", type(error).__name__)
    """)
    program.says("READY")
    daemon = children_of(program.process.pid)
    assert daemon
    for pid in daemon:
        os.kill(pid, signal.SIGKILL)
    program.says("TOLD", 30)
    program.ends()
    eventually(lambda: not program.left(), CLEANUP_SECONDS, "the end of every process")


@pytest.mark.iosdk
def test_shutdown_reaps_its_children_and_keeps_no_descriptors(alone):
    me = os.getpid()

    def once():
        alone.init(**start_options())
        assert alone.get(alone.remote(lambda: 1).remote()) == 1
        alone.shutdown()

    once()
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        once()
    eventually(lambda: len(os.listdir("/proc/self/fd")) <= before + 2, 10, "closed descriptors")
    eventually(lambda: "Z" not in children_of(me).values(), 10, "reaped children")
