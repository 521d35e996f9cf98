"""Errors of the cores. A peer's fault is never an exception; these are faults of our own side."""

__all__ = ["LocalProtocolError"]


class LocalProtocolError(Exception):
    """Our own code broke the protocol: a bug, not bad input."""
