"""Exceptions of tasks: their own type and RayTaskError at once, tracebacks, dependants, what cannot be pickled."""

import builtins
import pickle
import subprocess
import sys

import cloudpickle
import pytest


def raised_by(rt, function, *args, **options):
    with pytest.raises(BaseException) as caught:
        rt.get(rt.remote(function).options(**options).remote(*args), timeout=60)
    return caught.value


def test_an_exception_is_its_own_type_and_raytaskerror(rt):
    def fail():
        return {}["missing"]

    error = raised_by(rt, fail)
    assert isinstance(error, KeyError) and isinstance(error, rt.exceptions.RayTaskError)
    assert isinstance(error.cause, KeyError) and error.cause.args == ("missing",)
    assert type(error).__name__ == "RayTaskError(KeyError)"


BUILTIN = [
    ValueError("v"),
    KeyError("k"),
    OSError(2, "no such"),
    FileNotFoundError(2, "gone", "path"),
    StopIteration(3),
    ZeroDivisionError(),
    UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"),
    AssertionError("a"),
    NotImplementedError(),
    TimeoutError("t"),
    RecursionError("r"),
    MemoryError(),
    subprocess.CalledProcessError(3, "command"),
]


@pytest.mark.parametrize("original", BUILTIN, ids=[type(error).__name__ for error in BUILTIN])
def test_builtin_exceptions(rt, original):
    def fail(error):
        raise error

    error = raised_by(rt, fail, original)
    assert isinstance(error, type(original)) and isinstance(error, rt.exceptions.RayTaskError)
    assert error.cause.args == original.args


def test_attributes_and_methods_of_own_exceptions(rt):
    class Local(Exception):
        def __init__(self, code):
            super().__init__(f"code {code}")
            self.code = code

        def twice(self):
            return 2 * self.code

        def __reduce__(self):
            return Local, (self.code,)

    def fail():
        raise Local(21)

    error = raised_by(rt, fail)
    assert isinstance(error, Local)
    assert error.code == 21 and error.twice() == 42


def test_the_text_is_the_remote_traceback(rt):
    def deep_inside():
        raise ValueError("the reason")

    def fail_here():
        deep_inside()

    text = str(raised_by(rt, fail_here))
    for part in ("fail_here()", "pid=", "deep_inside", "the reason", "ValueError", "test_errors.py"):
        assert part in text


def test_frames_of_the_runtime_are_left_out(rt):
    def fail():
        raise ValueError("x")

    text = str(raised_by(rt, fail))
    assert f"{rt.__name__}/_" not in text


def test_the_chain_of_causes_is_shown(rt):
    def fail():
        try:
            raise KeyError("first")
        except KeyError as error:
            raise RuntimeError("second") from error

    text = str(raised_by(rt, fail))
    assert "first" in text and "second" in text and text.index("first") < text.index("second")


def test_nested_failures_show_each_hop(rt):
    @rt.remote
    def inner():
        raise ValueError("at the bottom")

    @rt.remote
    def outer():
        return rt.get(inner.remote())

    with pytest.raises(ValueError, match="at the bottom") as caught:
        rt.get(outer.remote())
    text = str(caught.value)
    assert "outer()" in text and "inner()" in text


def test_a_task_that_depends_on_a_failed_one_does_not_run(rt, tmp_path):
    @rt.remote
    def fail():
        raise LookupError("upstream")

    @rt.remote
    def after(x):
        (tmp_path / "ran").touch()

    with pytest.raises(LookupError) as caught:
        rt.get(after.remote(fail.remote()))
    assert "At least one of the input arguments for this task could not be computed" in str(caught.value)
    assert not (tmp_path / "ran").exists()


def test_the_error_of_a_chain_reaches_its_end(rt):
    @rt.remote
    def fail():
        raise LookupError("upstream")

    @rt.remote
    def same(x):
        return x

    ref = fail.remote()
    for _ in range(5):
        ref = same.remote(ref)
    with pytest.raises(LookupError, match="upstream"):
        rt.get(ref)


def test_get_raises_each_time(rt):
    @rt.remote
    def fail():
        raise ValueError("again")

    ref = fail.remote()
    for _ in range(3):
        with pytest.raises(ValueError, match="again"):
            rt.get(ref)


def test_an_exception_that_cannot_be_pickled(rt):
    def fail():
        import threading

        error = ValueError("holds a lock")
        error.lock = threading.Lock()
        raise error

    error = raised_by(rt, fail)
    assert isinstance(error, rt.exceptions.RayTaskError)
    assert "holds a lock" in str(error)


@pytest.mark.iosdk
def test_an_exception_that_cannot_be_pickled_keeps_its_type(rt):
    def fail():
        import threading

        error = ValueError("holds a lock")
        error.lock = threading.Lock()
        raise error

    assert isinstance(raised_by(rt, fail), ValueError)


def test_an_exception_that_does_not_unpickle(rt):
    class Stubborn(Exception):
        def __init__(self, one, two):
            super().__init__(f"{one} and {two}")

    def fail():
        raise Stubborn("this", "that")

    error = raised_by(rt, fail)
    assert isinstance(error, rt.exceptions.RayError)
    assert "this and that" in str(error)


def test_a_result_that_cannot_be_pickled(rt):
    def fail():
        import threading

        return threading.Lock()

    error = raised_by(rt, fail)
    assert isinstance(error, TypeError)
    assert "lock" in str(error)


def test_base_exceptions(rt):
    class Stop(BaseException):
        pass

    def fail():
        raise Stop("base")

    error = raised_by(rt, fail)
    assert isinstance(error, Stop) and isinstance(error, rt.exceptions.RayTaskError)


@pytest.mark.skipif(sys.version_info < (3, 11), reason="exception groups came with Python 3.11")
def test_exception_groups(rt):
    def fail():
        raise builtins.ExceptionGroup("several", [ValueError("a"), KeyError("b")])

    error = raised_by(rt, fail)
    assert isinstance(error, builtins.ExceptionGroup) and isinstance(error, rt.exceptions.RayTaskError)
    assert [type(inner) for inner in error.exceptions] == [ValueError, KeyError]


def test_keyboard_interrupt_raised_by_a_task_is_a_cancellation(rt):
    def fail():
        raise KeyboardInterrupt

    assert isinstance(raised_by(rt, fail), rt.exceptions.TaskCancelledError)


def test_errors_can_be_pickled(rt):
    def fail():
        raise ValueError("carried")

    error = pickle.loads(cloudpickle.dumps(raised_by(rt, fail)))
    assert isinstance(error, ValueError) and isinstance(error, rt.exceptions.RayTaskError)


def test_a_failing_import_inside_a_task(rt):
    def fail():
        import no_such_module_anywhere  # noqa: F401

    assert isinstance(raised_by(rt, fail), ModuleNotFoundError)


def test_the_family_of_exceptions(api):
    e = api.exceptions
    for name in (
        "RayTaskError",
        "RayActorError",
        "TaskCancelledError",
        "WorkerCrashedError",
        "ObjectStoreFullError",
        "ObjectLostError",
        "GetTimeoutError",
        "RaySystemError",
        "OutOfDiskError",
        "TaskUnschedulableError",
        "ActorUnschedulableError",
        "OutOfMemoryError",
        "NodeDiedError",
        "LocalRayletDiedError",
        "RuntimeEnvSetupError",
        "PendingCallsLimitExceeded",
    ):
        assert issubclass(getattr(e, name), e.RayError), name
    for name in ("ActorDiedError", "ActorUnavailableError"):
        assert issubclass(getattr(e, name), e.RayActorError), name
    for name in ("OwnerDiedError", "ObjectFreedError", "ObjectReconstructionFailedError", "ObjectFetchTimedOutError"):
        assert issubclass(getattr(e, name), e.ObjectLostError), name
    assert issubclass(e.GetTimeoutError, TimeoutError)
