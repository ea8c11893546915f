"""Starting: a fresh interpreter to its first answer, the cost of the import, the size of the package."""

import os
import subprocess
import sys
import time

from . import Row

START = """
import time
began = time.perf_counter()
{body}
print("TOOK", time.perf_counter() - began, pid)
"""

CLUSTER = """
import os
import {target} as rt
rt.init(**{options!r})
pid = rt.get(rt.remote(lambda: os.getpid()).remote())
"""

POOL = """
import concurrent.futures, multiprocessing, os
pool = concurrent.futures.ProcessPoolExecutor(4, mp_context=multiprocessing.get_context("fork"))
pid = pool.submit(os.getpid).result()
"""


def fresh(body):
    """Run a program in a new interpreter; returns its seconds, and checks that the answer came from another process."""
    process = subprocess.Popen([sys.executable, "-c", START.format(body=body)], stdout=subprocess.PIPE, text=True)
    out, _ = process.communicate(timeout=120)
    line = next(line for line in out.splitlines() if line.startswith("TOOK"))
    _, took, pid = line.split()
    assert int(pid) != process.pid and process.returncode == 0
    return float(took)


def start(bench):
    from core import init_options

    body = CLUSTER.format(target=bench.target, options=init_options(bench.target))
    return [fresh(body) for _ in range(bench.size(5, 1))]


def start_pool(bench):
    return [fresh(POOL) for _ in range(bench.size(5, 1))]


def import_time(bench):
    """Wall time of an interpreter that imports the package, less one that imports nothing, in milliseconds."""

    def run(text):
        began = time.perf_counter()
        subprocess.run([sys.executable, "-c", text], check=True)
        return time.perf_counter() - began

    run(f"import {bench.target}")
    return [1000 * (run(f"import {bench.target}") - run("pass")) for _ in range(bench.size(11, 3))]


def wheel_size(bench):
    """MB of the installed package when zipped as a wheel is."""
    import io
    import zipfile

    package = os.path.dirname(__import__(bench.target).__file__)
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as zipped:
        for folder, _, names in os.walk(package):
            for name in names:
                if not name.endswith(".pyc"):
                    zipped.write(os.path.join(folder, name))
    return [len(archive.getvalue()) / 1e6]


ROWS = [
    Row(
        "start: import + init + first task",
        "s",
        start,
        floor=15,
        limit=0.3,
        higher=False,
        session=False,
        pool=start_pool,
    ),
    Row("import over bare Python", "ms", import_time, limit=50, higher=False, session=False),
    Row("wheel", "MB", wheel_size, limit=15, higher=False, session=False),
]
