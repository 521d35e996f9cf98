"""MTA-STS, what a domain publishes about TLS at its MX hosts (RFC 8461): the TXT record and the policy, read and written.

    parse_record([b"v=STSv1; id=20260101;"])    ->  "20260101"
    parse_policy(octets)                        ->  Policy(mode, mx, max_age)
    policy.covers("mx1.example.org")

Both come from strangers: they are read in one pass, and everything that they may hold is bounded by `Limits`.
"""

import enum
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

__all__ = [
    "LIMITS",
    "Limits",
    "Mode",
    "Policy",
    "PolicyInvalid",
    "format_policy",
    "format_record",
    "parse_policy",
    "parse_record",
]


@dataclass(frozen=True, slots=True)
class Limits:
    """Octets of a policy (section 3.3), its patterns, and seconds for which it may be believed (section 3.2)."""

    policy: int = 64 << 10
    patterns: int = 256
    max_age: int = 31_557_600


LIMITS: Final = Limits()

_VERSION: Final = b"v=STSv1"
_FIELD: Final = re.compile(rb"([A-Za-z0-9][A-Za-z0-9_.-]{0,31})=([\x21-\x3a\x3c\x3e-\x7e]+)")
_ID: Final = re.compile(rb"[A-Za-z0-9]{1,32}")
_LABEL: Final = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_PATTERN: Final = re.compile(rf"(?=.{{1,255}}\Z)(?:\*\.)?{_LABEL}(?:\.{_LABEL})*")
_MAX_AGE: Final = re.compile("[0-9]{1,10}")


class Mode(enum.Enum):
    """Section 5."""

    ENFORCE = "enforce"
    TESTING = "testing"
    NONE = "none"


class PolicyInvalid(Exception):
    """Not a policy; the text says why."""


@dataclass(frozen=True, slots=True)
class Policy:
    """`mx` are names in lower case, or "*." and a name; none of them only with NONE."""

    mode: Mode
    mx: tuple[str, ...]
    max_age: int

    def covers(self, host: str) -> bool:
        """Whether mail may go to this MX host: section 4.1, a wildcard is one whole label."""
        host = host.lower().removesuffix(".")
        _, _, parent = host.partition(".")
        return host in self.mx or (bool(parent) and f"*.{parent}" in self.mx)


def parse_record(texts: Sequence[bytes]) -> str | None:
    """The id in the TXT records of `_mta-sts.DOMAIN`; None: the domain says nothing that counts.

    Section 3.1: what does not begin with the version is somebody else's, and of ours there must be one, without fault."""
    ours = [text for text in texts if re.match(rb"v=STSv1[ \t]*;", text)]
    if len(ours) != 1 or len(ours[0]) > LIMITS.policy:
        return None
    found = None
    first, *fields = ours[0].split(b";")
    if fields and not fields[-1].strip(b" \t"):
        fields.pop()
    for text in fields:
        field = _FIELD.fullmatch(text.strip(b" \t"))
        if field is None or (field[1] == b"id" and not _ID.fullmatch(field[2])):
            return None
        if field[1] == b"id" and found is None:
            found = field[2].decode()
    return found if first.rstrip(b" \t") == _VERSION else None


def id_of(policy: Policy) -> str:
    """An id that is another one whenever the policy is."""
    return hashlib.sha256(format_policy(policy)).hexdigest()[:20]


def format_record(policy_id: str) -> bytes:
    """What to publish at `_mta-sts.DOMAIN`; the id must change with the policy."""
    if not _ID.fullmatch(policy_id.encode()):
        raise ValueError(f"{policy_id!r} cannot be an id: 1 to 32 letters and digits")
    return b"v=STSv1; id=%b;" % policy_id.encode()


def parse_policy(octets: bytes) -> Policy:
    """What is at `https://mta-sts.DOMAIN/.well-known/mta-sts.txt` (section 3.2). Raises PolicyInvalid.

    Lines end with CRLF or LF; of all fields but mx the first counts, and what we do not know is passed over."""
    if len(octets) > LIMITS.policy:
        raise PolicyInvalid("it is too long")
    try:
        text = octets.decode()
    except UnicodeDecodeError:
        raise PolicyInvalid("it is not UTF-8") from None
    fields: dict[str, str] = {}
    patterns: list[str] = []
    for line in text.split("\n"):
        line = line.removesuffix("\r").rstrip(" \t")
        if not line:
            continue
        name, colon, value = line.partition(":")
        if not colon or not name or not name.isascii() or not value.isprintable():
            raise PolicyInvalid("a line is no field")
        if name == "mx":
            patterns.append(value.strip(" \t").lower().removesuffix("."))
        else:
            fields.setdefault(name, value.strip(" \t"))
    return _judge(fields, patterns)


def _judge(fields: dict[str, str], patterns: list[str]) -> Policy:
    if fields.get("version") != "STSv1":
        raise PolicyInvalid("its version is not STSv1")
    try:
        mode = Mode(fields.get("mode", ""))
    except ValueError:
        raise PolicyInvalid("its mode is none of enforce, testing, none") from None
    if not _MAX_AGE.fullmatch(fields.get("max_age", "")):
        raise PolicyInvalid("its max_age is no number")
    if len(patterns) > LIMITS.patterns or not all(_PATTERN.fullmatch(pattern) for pattern in patterns):
        raise PolicyInvalid("an mx is no name of a host, or there are too many")
    if not patterns and mode is not Mode.NONE:
        raise PolicyInvalid("it names no mx")
    return Policy(mode, tuple(patterns), min(int(fields["max_age"]), LIMITS.max_age))


def format_policy(policy: Policy) -> bytes:
    """What our own server publishes. Section 3.2: any line end that is one of two will do; CRLF is what text is."""
    lines = ["version: STSv1", f"mode: {policy.mode.value}", *(f"mx: {name}" for name in policy.mx), f"max_age: {policy.max_age}"]
    return "".join(f"{line}\r\n" for line in lines).encode()
