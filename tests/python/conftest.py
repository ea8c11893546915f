"""Chooses the target (iosdk, or Ray where it is installed), starts clusters for tests and checks that none is left.

`IOSDK_TEST_TARGET=ray` runs the same files against Ray, which is the truth about names, defaults and exception
classes; tests marked `iosdk` hold what is promised beyond Ray and are skipped there.
"""

import importlib
import os
import shutil
import signal
import tempfile
import uuid

import probes
import pytest

# Started in the background of a script, SIGINT is ignored, also in every child; the drivers of these tests need it.
signal.signal(signal.SIGINT, signal.default_int_handler)

MARK = uuid.uuid4().hex
os.environ[probes.MARK_NAME] = MARK
os.environ["PYTHONPATH"] = os.path.dirname(os.path.abspath(__file__))  # workers import `probes` too
if probes.ON_RAY:
    os.environ.update(
        RAY_AUTH_MODE="disabled",
        RAY_USAGE_STATS_ENABLED="0",
        RAY_ENABLE_AUTO_CONNECT="0",
        RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO="0",
    )
else:
    os.environ["IOSDK_ENABLE_AUTO_CONNECT"] = "0"
    os.environ.pop("IOSDK_ADDRESS", None)  # a head of whoever runs the tests is not theirs to use
    TMPDIR = tempfile.mkdtemp(prefix="tests-")
    os.environ["TMPDIR"] = tempfile.tempdir = TMPDIR


def pytest_configure(config):
    config.addinivalue_line("markers", "iosdk: holds something that is promised beyond Ray")
    config.addinivalue_line("markers", "timeout(seconds): bound of one test (pytest-timeout)")


def pytest_collection_modifyitems(items):
    for item in items:
        if probes.ON_RAY and item.get_closest_marker("iosdk"):
            item.add_marker(pytest.mark.skip(reason="promised beyond Ray"))
        if item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(90))


@pytest.fixture(scope="session")
def api():
    """The module under test, with no cluster of its own."""
    return importlib.import_module(probes.TARGET)


class Session:
    """Which cluster this process is connected to: the shared one of a test file, or one of a single test."""

    def __init__(self, api):
        self.api = api
        self.owner = None

    def use(self, owner, **options):
        if self.owner != owner or not self.api.is_initialized():
            self.end()
            self.api.init(**probes.start_options(**options))
            self.owner = owner
        return self.api

    def end(self):
        self.owner = None
        if self.api.is_initialized():
            self.api.shutdown()


@pytest.fixture(scope="session")
def session(api):
    return Session(api)


@pytest.fixture(scope="module")
def file_session(session):
    """Ends the last cluster of a file with the file."""
    yield session
    session.end()


@pytest.fixture
def rt(file_session, request):
    """The module with a cluster of two CPUs that the tests of one file share (`START` in the file adds to it)."""
    return file_session.use(request.module.__name__, **getattr(request.module, "START", {}))


@pytest.fixture
def alone(api, file_session):
    """The module under test with no cluster, whatever the tests before have left; ended after the test."""
    file_session.end()
    yield api
    file_session.end()


@pytest.fixture
def start(alone):
    """`start(**options)` gives the module with a new cluster, ended after the test."""

    def begin(**options):
        alone.init(**probes.start_options(**options))
        return alone

    return begin


@pytest.fixture
def driver():
    """`driver(script)` runs a program of its own; what it leaves is ended after the test."""
    folders, programs = [], []

    def begin(script, folder=None, **options):
        if folder is None:
            folder = tempfile.mkdtemp(prefix="d-")
            folders.append(folder)
        program = probes.Driver(folder, script, uuid.uuid4().hex, **options)
        programs.append(program)
        return program

    yield begin
    for program in programs:
        program.sweep()
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def flag(tmp_path):
    """A path that does not exist yet; a test creates it to let tasks go on, the end of the test does so anyway."""
    path = tmp_path / "go"
    yield path
    path.touch()


@pytest.fixture(scope="session", autouse=True)
def nothing_is_left():
    """After the last test: no process of ours, nothing new in shared memory, nothing in the temporary folder."""
    shared = set(os.listdir("/dev/shm"))
    yield
    try:
        if not probes.ON_RAY:  # Ray promises nothing of the kind
            probes.eventually(lambda: not probes.marked_processes(MARK), probes.CLEANUP_SECONDS, "the end of all")
            assert set(os.listdir("/dev/shm")) <= shared
            assert [path for path in probes.files_under(TMPDIR) if "/pytest-of-" not in path] == []
    finally:
        for pid in probes.marked_processes(MARK):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        if not probes.ON_RAY:
            shutil.rmtree(TMPDIR, ignore_errors=True)
