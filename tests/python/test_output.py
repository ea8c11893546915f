"""What workers print: it reaches the driver through Python's own stdout with a prefix; files are bounded."""

import re

import pytest
from probes import files_under

TALK = """
    rt.init(**{**START, "log_to_driver": True})

    @rt.remote
    def speak(what):
        print(what)
        print(what + " on stderr", file=sys.stderr)

    @rt.remote
    class Speaker:
        def speak(self, what):
            print(what)

    speaker = Speaker.remote()
    rt.get([speak.remote("from-a-task"), speaker.speak.remote("from-an-actor")])
"""


def test_output_comes_with_a_prefix(driver):
    program = driver(
        TALK
        + """
    import time
    deadline = time.monotonic() + 30
    while not os.path.exists("enough") and time.monotonic() < deadline:
        time.sleep(0.01)
    rt.shutdown()
"""
    )
    program.says("from-a-task", 30)
    program.says("from-an-actor", 30)
    from probes import eventually

    eventually(lambda: "from-a-task on stderr" in program.out + program.err, 30, "the line on stderr")
    open(program.path.replace("program.py", "enough"), "w").close()
    plain = re.sub(r"\x1b\[[0-9;]*m", "", program.succeeds())
    assert re.search(r"^\(speak pid=\d+\) from-a-task$", plain, re.MULTILINE)
    assert re.search(r"^\(Speaker pid=\d+\) from-an-actor$", plain, re.MULTILINE)


@pytest.mark.iosdk
def test_output_just_before_the_end_is_not_lost(driver):
    out = driver(TALK).succeeds()
    assert "from-a-task" in out and "from-an-actor" in out


@pytest.mark.iosdk
def test_output_goes_through_pythons_stdout(driver):
    out = driver("""
        import io

        real, sys.stdout = sys.stdout, io.StringIO()
        rt.init(**{**START, "log_to_driver": True})

        @rt.remote
        def speak():
            print("into the cell")

        rt.get(speak.remote())
        rt.shutdown()
        cell, sys.stdout = sys.stdout.getvalue(), real
        print("CELL", repr(cell))
    """).succeeds()
    assert re.search(r"CELL .*\(speak pid=\d+\).* into the cell", out)
    assert out.count("into the cell") == 1


@pytest.mark.iosdk
def test_log_to_driver_false_is_silent(driver):
    program = driver(TALK.replace('"log_to_driver": True', '"log_to_driver": False') + "    rt.shutdown()\n")
    out = program.succeeds()
    assert "from-a-task" not in out + program.err


@pytest.mark.iosdk
def test_a_flood_is_bounded_on_disk_and_stops_nobody(driver):
    program = driver("""
        rt.init(**START)

        @rt.remote
        def flood():
            line = "x" * 1023
            for _ in range(100 * 1024):
                print(line)
            return "done"

        print(rt.get(flood.remote(), timeout=80))
        print("READY")
        signal.pause()
    """)
    program.says("READY", 90)
    import os

    size = sum(os.path.getsize(path) for path in files_under(program.tmpdir) if os.path.isfile(path))
    assert size < 64 * 1024 * 1024


@pytest.mark.iosdk
def test_output_of_child_processes_and_bare_descriptors(driver):
    out = driver("""
        import subprocess

        rt.init(**{**START, "log_to_driver": True})

        @rt.remote
        def speak():
            os.write(1, b"from the descriptor\\n")
            subprocess.run(["echo", "from a child"], check=True)
            print("no newline at the end", end="", flush=True)
            os.write(1, b"\\n\\xff\\xfe not utf-8\\n")

        rt.get(speak.remote())
        rt.shutdown()
    """).succeeds()
    for part in ("from the descriptor", "from a child", "no newline at the end", "not utf-8"):
        assert part in out
