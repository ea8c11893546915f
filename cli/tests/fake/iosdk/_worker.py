"""A worker that says hello and prints, and does what IOSDK_TEST_WORKER says: no calls, no extension module."""

import os
import signal
import socket
import struct
import subprocess
import sys


def run(control_fd: int) -> int:
    control = socket.socket(fileno=control_fd)
    # MessagePack of {"Hello": {"version": 1, "pid": pid}}, behind its length.
    hello = b"\x81\xa5Hello\x82\xa7version\x01\xa3pid\xce" + struct.pack(">I", os.getpid())
    control.sendall(struct.pack("<I", len(hello)) + hello)
    print("\x1eiosdk-name:fake")
    print("printed by the worker")
    print("half a line, without its end", end="", file=sys.stderr, flush=True)
    what = os.environ.get("IOSDK_TEST_WORKER", "")
    if what == "litter":
        # One child in the worker's session, one in a session of its own that ignores what it can.
        subprocess.Popen(["sleep", "1000"])
        subprocess.Popen(["sleep", "1000"], start_new_session=True)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        print("littered")
    if what == "exit":
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
        print("waiting")
        signal.sigwait({signal.SIGUSR1})
        return 17
    if what == "flood":
        for number in range(20_000):
            print("flood", number)
        print("flooded")
    while control.recv(1 << 16):
        pass
    return 0
