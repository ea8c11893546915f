"""Futures of references: `ref.future()` and `await ref`.

A few daemon threads (none until the first future) wait on the Rust side for the references that futures were made of,
each for a batch of its own; a future is resolved in the thread that saw its reference become ready.
"""

from __future__ import annotations

import os
import threading
from concurrent.futures import Future, InvalidStateError

from iosdk import _core, _session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator
    from typing import Any

    from iosdk._core import ObjectRef

THREADS_MAX = 4
# How long a waiting thread keeps to its batch: rarely when a new reference would find another thread, often when not.
ROOMY_WAIT_S = 1.0
CROWDED_WAIT_S = 0.005


class _Pool:
    """The waiting threads of one session of one process."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.session = _core.session_id()
        self.changed = threading.Condition()
        self.arrived: dict[ObjectRef[Any], list[Future[Any]]] = {}
        self.threads: list[threading.Thread] = []
        self.idle = 0
        self.over = False

    def add(self, ref: ObjectRef[Any], future: Future[Any]) -> None:
        with self.changed:
            first = not self.arrived
            self.arrived.setdefault(ref, []).append(future)
            if self.idle:
                self.changed.notify()
            elif first and len(self.threads) < THREADS_MAX:
                thread = threading.Thread(target=self._serve, name="iosdk-futures", daemon=True)
                self.threads.append(thread)
                thread.start()

    def stop(self) -> None:
        """After the session has ended: waiters have been released, so the threads end."""
        with self.changed:
            self.over = True
            self.changed.notify_all()
        for thread in self.threads:
            if thread is not threading.current_thread():
                thread.join(2.0)

    def _serve(self) -> None:
        waiting: dict[ObjectRef[Any], list[Future[Any]]] = {}
        while True:
            with self.changed:
                while not waiting and not self.arrived and not self.over:
                    self.idle += 1
                    self.changed.wait()
                    self.idle -= 1
                for ref, futures in self.arrived.items():
                    waiting.setdefault(ref, []).extend(futures)
                self.arrived = {}
                crowded = not self.idle and len(self.threads) == THREADS_MAX
            if not waiting:
                return
            self._wait(waiting, CROWDED_WAIT_S if crowded else ROOMY_WAIT_S)

    def _wait(self, waiting: dict[ObjectRef[Any], list[Future[Any]]], timeout_s: float) -> None:
        """Resolves what becomes ready within the timeout and takes it out of `waiting`."""
        refs = list(waiting)
        try:
            ready, _ = _core.wait(refs, 1, timeout_s)
            if ready:
                ready, _ = _core.wait(refs, len(refs), 0)
        except Exception as problem:  # the session is over: nobody else will tell these futures
            for futures in waiting.values():
                _settle(futures, None, problem)
            waiting.clear()
            return
        for ref in ready:
            futures = waiting.pop(ref)
            try:
                value = _core.get(ref, None)
            except BaseException as problem:
                _settle(futures, None, problem)
            else:
                _settle(futures, value, None)


_pool: _Pool | None = None


def _the_pool() -> _Pool:
    global _pool
    if _pool is None or _pool.pid != os.getpid() or _pool.session != _core.session_id():
        _pool = _Pool()
        _session.on_shutdown(_pool.stop)
    return _pool


def _settle(futures: list[Future[Any]], value: Any, error: BaseException | None) -> None:
    if isinstance(error, StopIteration):
        # It would end whoever awaits as if nothing had happened.
        replaced = RuntimeError(f"the task raised StopIteration: {error}")
        replaced.__cause__ = error
        error = replaced
    for future in futures:
        try:
            if error is None:
                future.set_result(value)
            else:
                future.set_exception(error)
        except InvalidStateError:
            continue  # cancelled by whoever waited


def to_future(ref: ObjectRef[Any]) -> Future[Any]:
    """A `concurrent.futures.Future` of the reference's value. Cancelling it does not cancel the task."""
    future: Future[Any] = Future()
    _the_pool().add(ref, future)
    return future


def wait_for(ref: ObjectRef[Any]) -> Generator[Any, None, Any]:
    """The iterator behind `await ref`. Works in any running loop, any number of times; cancelling it cancels no
    task."""
    import asyncio

    ready, _ = _core.wait([ref], 1, 0)
    if not ready:
        return (yield from asyncio.wrap_future(to_future(ref)).__await__())
    try:
        return _core.get(ref, None)
    except StopIteration as stop:
        raise RuntimeError(f"the task raised StopIteration: {stop}") from stop
