"""The caps of DKIM and ARC, stated once (A-35, A-36)."""

from dataclasses import dataclass
from typing import Final

__all__ = ["LIMITS", "Limits"]


@dataclass(frozen=True, slots=True)
class Limits:
    """What a message and the DNS may ask of us."""

    header: int = 256 << 10  # octets of the header; nothing is verified in a message with a longer one
    signatures: int = 10  # DKIM-Signature fields that are looked at, from the top
    field: int = 64 << 10  # octets of one signature field
    tags: int = 100  # of one list
    key_record: int = 8 << 10  # octets of a key record: RSA of 4096 bits takes 750
    key_records: int = 5  # looked at under one name
    weakest_rsa: int = 1024  # bits (RFC 8301 section 3.2)
    strongest_rsa: int = 4096  # bits: beyond, verifying costs too much
    arc_sets: int = 50  # RFC 8617 section 4.2.1


LIMITS: Final = Limits()
