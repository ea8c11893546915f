"""What the state API raises, with Ray's names."""

from __future__ import annotations


class RayStateApiException(Exception):
    """The head refused the question, or its answer is not whole. The text says why."""


class ServerUnavailable(RayStateApiException, ConnectionError):
    """No head runs, or it does not answer."""
