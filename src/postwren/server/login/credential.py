"""What is stored of a password: argon2id's hash, and SCRAM's keys. Made and verified off the loop: 25 ms each.

The password is prepared here (SASLprep, RFC 4013), in one place for every protocol.
"""

import os
from collections.abc import Callable
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from postwren.mailstore.model import Credentials, ScramKeys
from postwren.protocols.sasl import NotPreparable, saslprep
from postwren.protocols.sasl.scram import scram_keys
from postwren.wire.secret import Secret

__all__ = ["DECOY_HASH", "ITERATIONS", "PasswordUnusable", "make_credentials", "prepare", "verify_password"]

ITERATIONS: Final = 10_000
SALT_OCTETS: Final = 16
_HASHES: Final = ("sha-256", "sha-1")
_HASHER: Final = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)

# What an unknown login is verified against, so that it costs what a known one costs. No password belongs to it.
DECOY_HASH: Final = "$argon2id$v=19$m=19456,t=2,p=1$cG9zdHdyZW4gZGVjb3kuLg$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"


class PasswordUnusable(ValueError):
    """Nobody could type this password: it is empty, or holds control characters or mixed writing directions."""


def prepare(password: Secret[str]) -> Secret[str] | None:
    """The form that is hashed, or None: then it is nobody's password."""
    try:
        return Secret(saslprep(password.reveal()))
    except NotPreparable:
        return None


def make_credentials(password: Secret[str], random: Callable[[int], bytes] = os.urandom) -> Credentials:
    """What to store. Takes about 40 ms of one processor and 19 MiB; raises `PasswordUnusable`."""
    prepared = prepare(password)
    if prepared is None:
        raise PasswordUnusable("the password is empty or holds characters that cannot be typed everywhere")
    keys = {}
    for hash_name in _HASHES:
        salt = random(SALT_OCTETS)
        keys[hash_name] = ScramKeys(salt, ITERATIONS, *scram_keys(prepared, salt, ITERATIONS, hash_name))
    encoded = _HASHER.hash(prepared.reveal(), salt=random(SALT_OCTETS))
    return Credentials(encoded, keys)


def verify_password(password_hash: str, prepared: Secret[str]) -> bool:
    """Whether the prepared password is the one of this hash. Takes 25 ms without the interpreter's lock."""
    try:
        return _HASHER.verify(password_hash, prepared.reveal())
    except (VerificationError, InvalidHashError):
        return False
