"""Ids as values: bytes that know their own names. Widths as in Ray: task 24 bytes, job 4."""

from __future__ import annotations


class Id(bytes):
    """An id: compares, hashes and prints as its bytes do."""

    def binary(self) -> bytes:
        """The id's bytes."""
        return bytes(self)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.hex()})"


class TaskID(Id):
    """A task: 8 bytes of its own, then its actor's 16."""


class JobID(Id):
    """A job: 4 bytes."""
