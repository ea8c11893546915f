"""A head for tests: started, used and stopped by the command line, in a folder of its own."""

import json
import os
import signal
import subprocess
import sys
import time

from probes import eventually

PROGRAM = os.path.join(os.path.dirname(sys.executable), "iosdk")


class Head:
    """A running head. `cli` runs the command line against it."""

    def __init__(self, folder, *options):
        self.data = os.path.join(folder, "data")
        self.env = dict(os.environ, XDG_STATE_HOME=os.path.join(folder, "state"), IOSDK_ADDRESS=self.data)
        self.env["IOSDK_DATA_DIR"] = self.data
        self.start(*options)

    def start(self, *options):
        memory = str(150 * 1024 * 1024)
        words = ["start", "--head", "--port", "0", "--num-cpus", "2", "--object-store-memory", memory, "--json"]
        self.about = json.loads(self.cli(*words, *options).stdout)

    def cli(self, *words, code=0, **options):
        """The finished command; `code`: the exit code that it must have, None for any."""
        done = subprocess.run(
            [PROGRAM, *words],
            env={**self.env, **options.pop("env", {})},
            text=True,
            capture_output=True,
            timeout=80,
            **options,
        )
        assert code is None or done.returncode == code, (
            f"{words}: exit code {done.returncode}\n{done.stdout}{done.stderr}"
        )
        return done

    def submit(self, *words, code=0, **options):
        return self.cli("job", "submit", *words, code=code, **options)

    def job(self, name):
        return json.loads(self.cli("job", "status", name, "--json").stdout)

    def pid(self):
        with open(os.path.join(self.data, "head.json")) as file:
            return json.load(file)["pid"]

    def gcs_pid(self):
        """The process that holds the event log now."""
        with open(os.path.join(self.data, "lock")) as file:
            return int(file.read().split()[-1])

    def kill_gcs(self):
        """kill -9, and wait until another one answers; returns the seconds that took."""
        old, began = self.gcs_pid(), time.monotonic()
        os.kill(old, signal.SIGKILL)
        eventually(lambda: self.cli("status", code=None).returncode == 0 and self.gcs_pid() != old, 20, "another GCS")
        return time.monotonic() - began

    def driver(self, script, cwd=None, **options):
        """A program in a process of its own that joins this head."""
        words = [sys.executable, "-c", script]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen(words, env={**self.env, **options}, text=True, cwd=cwd, **pipes)

    def stop(self):
        if os.path.exists(os.path.join(self.data, "head.json")):
            self.cli("stop", "--force", code=None)
