"""What the policy of a stranger may cost us (RFC 7208 section 4.6.4, A-34), stated once."""

from dataclasses import dataclass

__all__ = ["Limits"]


@dataclass(frozen=True, slots=True)
class Limits:
    """Of one check, all included policies counted."""

    lookups: int = 10  # terms that ask the DNS
    void_lookups: int = 2  # of these, terms whose question has no answer
    names: int = 10  # hosts of one mx (more: permerror), names of the client (more are left out)
    record: int = 8192  # octets; section 3.4 asks for 450 and less
    expansion: int = 2048  # characters of a string with its macros expanded
    seconds: float = 20.0  # altogether
