"""What became of a recipient, who is told of it, and as which status (RFC 3461 section 5.2, RFC 3463, RFC 3464 section 2.3).

reply of a host -> `Fate` -> `wants` (is a report called for) -> `dsn.compose` (one for all recipients of an action)
"""

import enum
import re
from dataclasses import dataclass
from typing import Final

from postwren.protocols.smtp.reply import Reply

__all__ = ["Action", "Fate", "format_said", "parse_said", "printable", "status_of", "wants", "wants_relayed"]


class Action(enum.Enum):
    """RFC 3464 section 2.3.3."""

    FAILED = "failed"
    DELAYED = "delayed"
    DELIVERED = "delivered"
    RELAYED = "relayed"
    EXPANDED = "expanded"


@dataclass(frozen=True, slots=True)
class Fate:
    """What became of one recipient. Texts may come from anywhere: whoever writes them out takes control characters out.
    Times are seconds since 1970, 0 where there is none."""

    address: str  # of the envelope, as on the wire without brackets
    orcpt: str = ""  # "rfc822;ann@example.org", decoded
    reply: Reply | None = None  # what a host said last; None where none said anything
    host: str = ""  # who said it
    reason: str = ""  # where no host said anything: a sentence of ours, "No host of example.net could be reached."
    status: str = ""  # where we know it better than the reply: "5.4.7"
    attempted: int = 0
    next_attempt: int = 0
    retry_until: int = 0
    is_expired: bool = False  # it was tried until there was no time left


_WORDS: Final[dict[Action, str]] = {
    Action.FAILED: "FAILURE",
    Action.DELAYED: "DELAY",
    Action.DELIVERED: "SUCCESS",
    Action.RELAYED: "SUCCESS",
    Action.EXPANDED: "SUCCESS",
}


def wants(notify: str, action: Action, *, warns: bool = False) -> bool:
    """Whether a sender who gave this NOTIFY ("", "NEVER" or a list) is to have the report (RFC 3461 section 5.2.3, 5.2.5, 5.2.6):
    failures unless told otherwise, anything else when asked. `warns`: delays too where nothing was said (section 5.2.5 (b))."""
    if notify:
        return _WORDS[action] in notify.split(",")
    return action is Action.FAILED or (warns and action is Action.DELAYED)


def wants_relayed(notify: str, *, has_dsn: bool) -> bool:
    """Whether a recipient whom the next host took is reported as relayed: SUCCESS was asked for and the host will not report it
    (RFC 3461 section 5.2.2 (b))."""
    return not has_dsn and wants(notify, Action.RELAYED)


_STATUS: Final[dict[int, str]] = {
    # RFC 3463 for the codes of RFC 5321 section 4.2.3, RFC 4954 section 6, RFC 7504: what a host meant that has no enhanced codes
    421: "4.3.2",
    432: "4.7.12",
    450: "4.2.0",
    451: "4.3.0",
    452: "4.3.1",
    454: "4.7.0",
    455: "4.5.4",
    500: "5.5.2",
    501: "5.5.4",
    502: "5.5.1",
    503: "5.5.1",
    504: "5.5.4",
    521: "5.3.2",
    530: "5.7.0",
    535: "5.7.8",
    538: "5.7.11",
    550: "5.2.0",
    551: "5.1.6",
    552: "5.2.2",
    553: "5.1.3",
    554: "5.0.0",
    555: "5.5.4",
    556: "5.1.10",
}
_ENHANCED: Final = re.compile(r"[245]\.[0-9]{1,3}\.[0-9]{1,3}")
_CLASSES: Final[dict[Action, str]] = {Action.FAILED: "45", Action.DELAYED: "4"}


def status_of(recipient: Fate, action: Action) -> str:
    """status-code of RFC 3464 section 2.3.4, of a class that fits the action: a failure may be for good or for now (RFC 3463
    section 2), a delay is for now, the rest are successes."""
    classes = _CLASSES.get(action, "2")
    reply = recipient.reply
    candidates = [recipient.status]
    if reply is not None:
        candidates += [reply.enhanced, _STATUS.get(reply.code, f"{reply.code // 100}.0.0")]
    for status in candidates:
        if _ENHANCED.fullmatch(status) and status[0] in classes:
            return status
    if action in (Action.FAILED, Action.DELAYED) and reply is None:
        return "4.4.7" if recipient.is_expired else f"{classes[-1]}.4.0"
    return f"{classes[-1]}.0.0"


def printable(text: str, *, is_ascii: bool = False) -> str:
    """Text of others as it may stand in a report: what is no printable character, or bends the direction of writing, becomes a
    question mark (A-33)."""
    if text.isprintable() and (text.isascii() or not is_ascii):
        return text
    return "".join([c if c.isprintable() and (c <= "~" or not is_ascii) else "?" for c in text])


_CODES: Final = re.compile(r"([2-5][0-9][0-9])(?: ([245]\.[0-9]{1,3}\.[0-9]{1,3}))?(?: |$)")
_HOST: Final = re.compile(r"(?:^| )\(([A-Za-z0-9._:\[\]-]*)\)$")
_LONGEST: Final = 1000


def format_said(reply: Reply, host: str) -> str:
    """A reply and who gave it as the queue's row remembers them: one line, "450 4.2.0 Try later (mx.example.org)"."""
    words = printable(" ".join(reply.lines)[:_LONGEST])
    by = f"({host})" if host or words.endswith(")") else ""
    return " ".join([word for word in (str(reply.code), reply.enhanced, words, by) if word])


def parse_said(text: str) -> tuple[Reply | None, str]:
    """What `format_said` made: the reply and the host; (None, "") where it is a sentence of ours."""
    codes = _CODES.match(text)
    if codes is None:
        return None, ""
    words = text[codes.end() :]
    host = _HOST.search(words)
    if host is not None:
        words = words[: host.start()]
    return Reply(int(codes[1]), codes[2] or "", words), host[1] if host is not None else ""
