"""Whole programs: what `__main__` defines, closures, modules beside the script, two sessions, long folders."""

import os
import subprocess
import sys

import pytest
from probes import MARK_NAME, TARGET, start_options


def test_everything_defined_in_main(driver):
    out = driver("""
        import collections
        import dataclasses
        import enum

        @dataclasses.dataclass
        class Point:
            x: int
            tags: list = dataclasses.field(default_factory=list)

        Pair = collections.namedtuple("Pair", "left right")

        class Colour(enum.Enum):
            RED = 1

        class Failure(Exception):
            def __init__(self, code):
                super().__init__(code)
                self.code = code

        class Base:
            def name(self):
                return type(self).__name__

        class Derived(Base):
            def name(self):
                return "derived " + super().name()

        LIMIT = 3

        def triple(x):
            return LIMIT * x

        @rt.remote
        def work(point, pair, colour, thing):
            assert isinstance(point, Point) and isinstance(pair, Pair) and colour is Colour.RED
            return Point(triple(point.x), [*point.tags, pair.left]), Pair(1, 2), colour, thing.name()

        @rt.remote
        def fail():
            raise Failure(7)

        @rt.remote
        class Actor(Base):
            def point(self):
                return Point(1)

            def own(self):
                return self.name()

        if __name__ == "__main__":
            rt.init(**START)
            point, pair, colour, name = rt.get(work.remote(Point(2, ["t"]), Pair("l", "r"), Colour.RED, Derived()))
            assert point == Point(6, ["t", "l"]) and type(pair) is Pair
            assert colour is Colour.RED and name == "derived Derived"
            try:
                rt.get(fail.remote())
            except Failure as error:
                assert error.code == 7
            actor = Actor.remote()
            assert rt.get(actor.point.remote()) == Point(1) and rt.get(actor.own.remote()) == "Actor"
            print("ALL GOOD")
    """).succeeds()
    assert "ALL GOOD" in out


def test_closures_and_lambdas(rt):
    def make(n):
        count = [0]

        def inner(x):
            count[0] += 1
            return x + n + count[0]

        return rt.remote(inner)

    one, ten = make(1), make(10)
    assert rt.get([one.remote(0), ten.remote(0)]) == [2, 11]
    fib = lambda n: n if n < 2 else fib(n - 1) + fib(n - 2)  # noqa: E731 - a recursive lambda is the point
    assert rt.get(rt.remote(fib).remote(10)) == 55


def test_modules_beside_the_script(driver, tmp_path):
    (tmp_path / "beside.py").write_text(
        "VALUE = 5\ndef double(x):\n    return 2 * x\nclass Thing:\n    def __init__(self, x):\n        self.x = x\n"
    )
    out = driver(
        """
        import beside

        rt.init(**START)
        print("GOT", rt.get(rt.remote(beside.double).remote(beside.VALUE)), rt.get(rt.put(beside.Thing(3))).x)

        @rt.remote
        def inside():
            import beside
            return beside.Thing(4)

        print("AND", rt.get(inside.remote()).x, isinstance(rt.get(inside.remote()), beside.Thing))
    """,
        folder=str(tmp_path),
    ).succeeds()
    assert "GOT 10 3" in out and "AND 4 True" in out


def test_sessions_one_after_another(driver):
    out = driver("""
        @rt.remote
        def pid():
            return os.getpid()

        seen = set()
        for _ in range(3):
            rt.init(**START)
            seen.add(rt.get(pid.remote()))
            rt.shutdown()
        print("SEEN", len(seen))
    """).succeeds(120)
    assert "SEEN 3" in out


def test_two_programs_at_once_do_not_meet(driver):
    script = """
        rt.init(**({"address": "local"} if rt.__name__ == "ray" else {}), **START)

        @rt.remote
        def number():
            return %d

        print("READY")
        sys.stdout.flush()
        assert rt.get([number.remote() for _ in range(100)]) == [%d] * 100
        print("DONE")
    """
    programs = [driver(script % (i, i)) for i in range(2)]
    for program in programs:
        assert "DONE" in program.succeeds(120)


@pytest.mark.iosdk
def test_a_long_temporary_folder(driver, tmp_path):
    folder = tmp_path / ("l" * 100) / ("o" * 100)
    folder.mkdir(parents=True)
    out = driver(
        """
        import tempfile
        assert len(tempfile.gettempdir()) >= 200
        rt.init(**START)
        print("GOT", rt.get(rt.remote(lambda: 5).remote()))
        rt.shutdown()
    """,
        env={"TMPDIR": str(folder)},
    ).succeeds()
    assert "GOT 5" in out
    assert list(folder.iterdir()) == []


@pytest.mark.iosdk
def test_a_read_only_home_and_working_folder(driver, tmp_path):
    out = driver(
        """
        os.chdir("/proc")
        rt.init(**START)
        print("GOT", rt.get(rt.remote(lambda: os.getcwd()).remote()))
    """,
        env={"HOME": "/nonexistent"},
    ).succeeds()
    assert "GOT /proc" in out


def test_a_program_from_standard_input_and_from_the_command_line(tmp_path):
    program = f"""
import {TARGET} as rt
rt.init(**{start_options()!r})
class Local:
    x = 3
@rt.remote
def work(thing):
    return thing.x
print("GOT", rt.get(work.remote(Local())))
"""
    env = dict(os.environ, **{MARK_NAME: "programs"})
    for arguments, text in ((["-c", program], None), (["-"], program)):
        done = subprocess.run(
            [sys.executable, *arguments],
            input=text,
            env=env,
            capture_output=True,
            text=True,
            timeout=90,
            cwd=tmp_path,
            check=False,
        )
        assert "GOT 3" in done.stdout, done.stderr


@pytest.mark.iosdk
def test_import_is_light(driver):
    out = driver("""
        heavy = {"asyncio", "numpy", "multiprocessing", "email", "http", "ssl"} & set(sys.modules)
        print("HEAVY", sorted(heavy))
    """).succeeds()
    assert "HEAVY []" in out
