"""Ctrl-C in the driver: what waits stops at once, the session stays usable."""

import os
import signal

import pytest

PROMPT_SECONDS = 5.0

WAITS = {
    "get": "rt.get(block.remote(go))",
    "get-list": "rt.get([quick.remote(), block.remote(go)])",
    "wait": "rt.wait([block.remote(go)])",
    "actor": "rt.get(actor.block.remote(go))",
}


@pytest.mark.parametrize("group", [False, True], ids=["driver", "whole-group"])
@pytest.mark.parametrize("how", WAITS)
def test_a_wait_is_interrupted_and_the_session_goes_on(driver, tmp_path, how, group):
    program = driver(f"""
        from probes import wait_for_file

        rt.init(**START)
        go = {str(tmp_path / "go")!r}

        @rt.remote
        def block(go):
            open(go + ".running", "w").close()
            wait_for_file(go)
            return "released"

        @rt.remote
        def quick():
            return "quick"

        @rt.remote
        class Actor:
            def block(self, go):
                open(go + ".running", "w").close()
                wait_for_file(go)

        actor = Actor.remote()
        rt.get([quick.remote(), actor.__ray_ready__.remote()])
        print("WAITING")
        try:
            {WAITS[how]}
            print("NOT INTERRUPTED")
        except KeyboardInterrupt:
            print("INTERRUPTED")
        assert rt.get([quick.remote() for _ in range(10)], timeout=30) == ["quick"] * 10
        open(go, "w").close()
        assert rt.get(block.remote(go), timeout=30) == "released"
        print("USABLE")
        rt.shutdown()
    """)
    program.says("WAITING")
    from probes import eventually

    eventually((tmp_path / "go.running").exists, 60, "a running task")
    (os.killpg if group else os.kill)(program.process.pid, signal.SIGINT)
    program.says("INTERRUPTED", PROMPT_SECONDS)
    program.says("USABLE")
    assert program.succeeds().count("INTERRUPTED") == 1


def test_an_interrupt_between_calls(driver):
    program = driver("""
        rt.init(**START)

        @rt.remote
        def quick(x):
            return x

        rt.get(quick.remote(0))
        print("LOOPING")
        count = 0
        try:
            while True:
                rt.get([quick.remote(i) for i in range(20)])
                count += 1
                if count == 2:
                    print("STEADY")
        except KeyboardInterrupt:
            print("INTERRUPTED")
        assert rt.get([quick.remote(i) for i in range(50)], timeout=30) == list(range(50))
        print("USABLE")
    """)
    program.says("STEADY")
    os.kill(program.process.pid, signal.SIGINT)
    program.says("INTERRUPTED", PROMPT_SECONDS)
    assert "USABLE" in program.succeeds()


def test_an_interrupt_while_a_thread_waits(driver, tmp_path):
    program = driver(f"""
        import threading
        from probes import wait_for_file

        rt.init(**START)
        go = {str(tmp_path / "go")!r}

        @rt.remote
        def block():
            wait_for_file(go)
            return "released"

        @rt.remote
        def quick():
            return "quick"

        answers, answered = [], threading.Event()

        def wait():
            answers.append(rt.get(block.remote()))
            answered.set()

        threading.Thread(target=wait).start()
        rt.get(quick.remote())
        print("WAITING")
        try:
            answered.wait(60)
        except KeyboardInterrupt:
            print("INTERRUPTED")
        open(go, "w").close()
        assert answered.wait(30)
        assert answers == ["released"]
        print("USABLE")
    """)
    program.says("WAITING")
    os.kill(program.process.pid, signal.SIGINT)
    program.says("INTERRUPTED", PROMPT_SECONDS)
    assert "USABLE" in program.succeeds()


@pytest.mark.iosdk
def test_an_interrupt_while_a_put_waits_for_room(driver):
    program = driver("""
        import numpy

        rt.init(**START)
        held = [rt.put(numpy.ones(30 << 20, dtype=numpy.uint8)) for _ in range(4)]
        print("WAITING")
        try:
            while True:
                try:
                    rt.put(numpy.ones(60 << 20, dtype=numpy.uint8))
                except rt.exceptions.ObjectStoreFullError:
                    pass
        except KeyboardInterrupt:
            print("INTERRUPTED")
        del held
        assert rt.get(rt.put(numpy.ones(60 << 20, dtype=numpy.uint8))).shape == (60 << 20,)
        print("USABLE")
    """)
    program.says("WAITING")
    os.kill(program.process.pid, signal.SIGINT)
    program.says("INTERRUPTED", PROMPT_SECONDS)
    assert "USABLE" in program.succeeds()
