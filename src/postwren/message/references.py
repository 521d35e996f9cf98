"""Message ids of Message-ID, In-Reply-To and References (RFC 5322 section 3.6.4; RFC 5256 section 3, for threading)."""

import re
from typing import Final

from postwren.message.header import FirstFields
from postwren.message.limits import DEFAULT_LIMITS, Limits

__all__ = ["message_id", "message_ids", "references"]

_ID: Final = re.compile(rb"<([^<>\s]++)>")
_PAIR: Final = re.compile(rb"\\(.)", re.DOTALL)


def message_ids(value: bytes, limits: Limits = DEFAULT_LIMITS) -> tuple[bytes, ...]:
    """The ids of an unfolded value, without brackets, each once, in order. Of too many, the first and the last are kept:
    threading wants the root and the near ancestors."""
    found = tuple(dict.fromkeys(_normal(match[1]) for match in _ID.finditer(value)))
    if len(found) > limits.references:
        return found[:1] + found[len(found) - limits.references + 1 :]
    return found


def message_id(header: FirstFields) -> bytes | None:
    """The message's own id without brackets; where brackets are missing, the first word. None where there is none."""
    value = header.first(b"message-id")
    if not value:
        return None
    if match := _ID.search(value):
        return _normal(match[1])
    words = value.strip(b"<>").split(None, 1)
    return words[0] if words else None


def references(header: FirstFields, limits: Limits = DEFAULT_LIMITS) -> tuple[bytes, ...]:
    """RFC 5256 section 3, REFERENCES step 1: those of References or, where it has none, the first of In-Reply-To."""
    return message_ids(header.first(b"references") or b"", limits) or message_ids(header.first(b"in-reply-to") or b"", limits)[:1]


def _normal(identifier: bytes) -> bytes:
    """`"a"@b` and `a@b` are the same (RFC 5256 section 3)."""
    if b'"' not in identifier:
        return identifier
    return _PAIR.sub(rb"\1", identifier.replace(b'\\"', b"\x00").replace(b'"', b"").replace(b"\x00", b'"'))
