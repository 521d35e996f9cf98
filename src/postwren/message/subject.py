"""The base subject, by which subjects are sorted and threaded (RFC 5256 section 2.1). Linear: it moves two ends inward."""

import re
from typing import Final, NamedTuple

from postwren.message.limits import DEFAULT_LIMITS, Limits

__all__ = ["BaseSubject", "base_subject"]


class BaseSubject(NamedTuple):
    """`is_reply`: something was taken off that marks a reply or a forward (RFC 5256 section 3)."""

    text: str
    is_reply: bool


_BLOB = r"\[[^\[\]]*+\] *+"
_BLOBS: Final = re.compile(rf"(?:{_BLOB})*+")
_REFWD: Final = re.compile(rf"(?:re|fwd?) *+(?:{_BLOB})?+:", re.IGNORECASE)
_FORWARD: Final = re.compile(r"\[fwd:", re.IGNORECASE)


def base_subject(subject: str, limits: Limits = DEFAULT_LIMITS) -> BaseSubject:
    """The base subject of a Subject whose encoded words are decoded (step 1 begins with that)."""
    text = " ".join(subject[: limits.subject].split())
    start, end, is_reply = 0, len(text), False
    while True:
        end, trailer = _without_trailers(text, start, end)
        start, leader = _without_leaders(text, start, end)
        is_reply |= trailer | leader
        forward = _FORWARD.match(text, start, end)
        if forward is None or end - 1 < forward.end() or text[end - 1] != "]":
            return BaseSubject(text[start:end], is_reply)
        start, end, is_reply = forward.end(), end - 1, True


def _without_trailers(text: str, start: int, end: int) -> tuple[int, bool]:
    """Step 2."""
    found = False
    while end > start:
        if text[end - 1] == " ":
            end -= 1
        elif end - 5 >= start and text[end - 5 : end].lower() == "(fwd)":
            end -= 5
            found = True
        else:
            break
    return end, found


def _without_leaders(text: str, start: int, end: int) -> tuple[int, bool]:
    """Steps 3 to 5: blobs before "re:" go with it; the others go as long as something is left."""
    found = False
    while True:
        while start < end and text[start] == " ":
            start += 1
        blobs = _BLOBS.match(text, start, end)
        behind = blobs.end() if blobs else start
        refwd = _REFWD.match(text, behind, end)
        if refwd:
            start, found = refwd.end(), True
        elif behind == start:
            return start, found
        elif behind < end:
            start = behind
        else:
            return text.rindex("[", start, end), found
