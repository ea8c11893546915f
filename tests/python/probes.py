"""What tests look at from outside: conditions with deadlines, marked processes, programs in processes of their own."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time

MARK_NAME = "IOSDK_TEST_MARK"
TARGET = os.environ.get("IOSDK_TEST_TARGET", "iosdk")
ON_RAY = TARGET == "ray"

# The promise is two seconds; a bound is asserted at five times what is promised. Ray promises nothing of the kind.
CLEANUP_SECONDS = 60.0 if ON_RAY else 10.0


def start_options(**more):
    """Arguments of `init` for a small private cluster of the target under test."""
    options = {"num_cpus": 2, "object_store_memory": 150 * 1024 * 1024, "log_to_driver": False}
    if ON_RAY:
        options["include_dashboard"] = False
        if "infeasible" in more:
            more.pop("infeasible")
    options.update(more)
    return options


def eventually(check, seconds=30.0, what="the condition"):
    """Return the first true value of `check()`; fail when there is none within `seconds`."""
    deadline = time.monotonic() + seconds
    pause = 0.002
    while True:
        value = check()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not come true within {seconds:g} s; last value {value!r}")
        time.sleep(pause)
        pause = min(pause * 1.5, 0.1)


def wait_for_file(path, seconds=60.0):
    """Used inside tasks: return when `path` exists, so that a test decides when a task ends."""
    deadline = time.monotonic() + seconds
    while not os.path.exists(path):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{path} never appeared")
        time.sleep(0.005)


def marked_processes(mark):
    """Live processes that inherited `mark` in their environment: {pid: command line}."""
    needle = f"{MARK_NAME}={mark}".encode()
    found = {}
    for entry in os.listdir("/proc"):
        if not entry.isdigit() or int(entry) == os.getpid():
            continue
        try:
            with open(f"/proc/{entry}/environ", "rb") as file:
                if needle not in file.read().split(b"\0"):
                    continue
            with open(f"/proc/{entry}/cmdline", "rb") as file:
                found[int(entry)] = file.read().replace(b"\0", b" ").decode(errors="replace").strip()
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
    return found


def children_of(pid):
    """Processes whose parent is `pid`, zombies included: {pid: state}."""
    found = {}
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            with open(f"/proc/{entry}/stat") as file:
                fields = file.read().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(fields[1]) == pid:
            found[int(entry)] = fields[0]
    return found


def files_under(folder):
    """Every file, socket and folder below `folder`."""
    return sorted(os.path.join(root, name) for root, folders, files in os.walk(folder) for name in folders + files)


class Driver:
    """A program that uses the API in a process of its own; `rt` is the target and `START` the arguments of `init`.

    `wrap`: a command that runs the command behind it."""

    def __init__(self, folder, script, mark, start=None, env=None, name="program.py", wrap=()):
        self.mark = mark
        self.tmpdir = os.path.join(folder, "t")
        os.makedirs(self.tmpdir, exist_ok=True)
        self.path = os.path.join(folder, name)
        with open(self.path, "w") as file:
            file.write(
                f"import os, signal, sys, time\nimport {TARGET} as rt\nSTART = {start_options(**(start or {}))!r}\n"
            )
            file.write(textwrap.dedent(script))
        environment = dict(os.environ, PYTHONUNBUFFERED="1", **{MARK_NAME: mark})
        if not ON_RAY:
            environment["TMPDIR"] = self.tmpdir
        environment.update(env or {})
        self.process = subprocess.Popen(
            [*wrap, sys.executable, self.path],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            cwd=folder,
        )
        self._lines = {"out": [], "err": []}
        self._readers = [
            threading.Thread(target=self._read, args=pair, daemon=True)
            for pair in ((self.process.stdout, "out"), (self.process.stderr, "err"))
        ]
        for reader in self._readers:
            reader.start()

    def _read(self, stream, key):
        for line in stream:
            self._lines[key].append(line)

    @property
    def out(self):
        return "".join(self._lines["out"])

    @property
    def err(self):
        return "".join(self._lines["err"])

    def says(self, text, seconds=60.0):
        """Wait until the program has printed `text`."""

        def printed():
            if text in self.out:
                return True
            assert self.process.poll() is None or text in self.out, (
                f"ended with {self.process.returncode} before {text!r}:\n{self.out}{self.err}"
            )
            return False

        eventually(printed, seconds, f"{text!r} in the output of the program")
        return self

    def ends(self, seconds=60.0):
        """Wait for the end; return the exit code."""
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the program did not end within {seconds:g} s:\n{self.out}{self.err}") from None
        for reader in self._readers:
            reader.join(5)
        return code

    def succeeds(self, seconds=60.0):
        """Wait for a good end; return what was printed on stdout."""
        code = self.ends(seconds)
        assert code == 0, f"exit code {code}:\n{self.out}{self.err}"
        return self.out

    def left(self):
        """Processes of this program's cluster that are still there (the program itself included)."""
        return marked_processes(self.mark)

    def sweep(self):
        """End what a failed test left, by process id."""
        for pid in self.left():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self.process.wait(10)
