"""The header fields that mail programs ask for when they fill a list of messages: kept beside the message's other derived
data, so that `BODY[HEADER.FIELDS (...)]` of thousands need not read thousands of messages (RFC 9051 section 6.4.5).

The octets are those of the message, whole fields with their folding and line ends, in its order.
"""

import functools
import re
from collections.abc import Callable
from typing import Final

from postwren.message.header import Header
from postwren.message.limits import DEFAULT_LIMITS, Limits
from postwren.message.octets import Octets, cut

__all__ = ["USUAL_FIELDS", "select_fields", "usual_fields"]

USUAL_FIELDS: Final = frozenset(
    b"from sender reply-to to cc bcc subject date message-id in-reply-to references newsgroups mime-version content-type"
    b" content-transfer-encoding content-disposition content-description content-id content-language list-id list-post list-help"
    b" list-archive list-owner list-subscribe list-unsubscribe list-unsubscribe-post priority x-priority importance"
    b" x-msmail-priority disposition-notification-to return-receipt-to return-path delivered-to x-original-to"
    b" resent-from resent-to resent-date resent-message-id mail-followup-to mail-reply-to followup-to organization"
    b" user-agent x-mailer x-label x-tuid lines keywords comments autocrypt auto-submitted precedence x-spam-flag x-spam-status"
    b" x-uniform-type-identifier x-universally-unique-identifier x-k9mail-identity x-gm-thrid".split()
)
"""In lower case. Whatever of these a message has is in what `usual_fields` returns."""
MOST: Final = 16 << 10  # octets; a header with more of the usual fields is read from the message


def usual_fields(octets: Octets, header: Header, limits: Limits = DEFAULT_LIMITS) -> bytes | None:
    """The usual fields of a header; None where they are too many, or the header was too large to be parsed as a whole."""
    if header.end - header.start > limits.header_block or len(header.fields) >= limits.header_fields:
        return None
    fields = [field for field in header.fields if field.name in USUAL_FIELDS]
    if sum(field.end - field.start for field in fields) > MOST:
        return None
    if isinstance(octets, bytes):
        last = header.end
        return b"".join([octets[field.start : min(field.end + 1, last)] for field in fields])
    return b"".join([cut(octets, field.start, min(field.end + 1, header.end)) for field in fields])


def select_fields(usual: bytes, names: frozenset[bytes]) -> bytes:
    """The answer to HEADER.FIELDS of these names (in lower case, all in `USUAL_FIELDS`), with the empty line behind it."""
    fields = _selector(names)(b"\n" + usual)
    if not fields:
        return b"\r\n"
    is_unended = usual[-1:] != b"\n" and usual.endswith(fields[-1])  # the header's very last field has no line end
    return b"\n".join(fields) + (b"\r\n" if is_unended else b"\n\r\n")


@functools.lru_cache(maxsize=64)
def _selector(names: frozenset[bytes]) -> Callable[[bytes], list[bytes]]:
    """Finds whole fields, each behind a line feed and without its own. What a client names is compiled only where it is one of
    ours."""
    if not names <= USUAL_FIELDS:
        raise ValueError("a field that may be missing here")
    if not names:
        return lambda _: []
    # A line that begins with a name is a field: continuations begin with white space. The pattern begins with an octet for
    # which the search skips whole lines: that is half of the time.
    wanted = b"|".join(map(re.escape, sorted(names)))
    pattern = rb"\n((?:%b)[ \t]*+:[^\n]*+(?:\n[ \t][^\n]*+)*+)" % wanted
    return re.compile(pattern, re.IGNORECASE).findall
