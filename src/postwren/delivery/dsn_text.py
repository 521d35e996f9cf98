"""The part of a report that people read: what happened, to whom, why, and what to do (RFC 3464 section 1, RFC 6522 section 3).

Recipients of whom the same is to be said stand together, so that a thousand of them do not repeat one answer a thousand times.
What other hosts said is quoted, without control characters and shortened (A-33).
"""

import textwrap
from collections.abc import Sequence
from typing import Final

from postwren.delivery.status import Action, Fate, printable, status_of
from postwren.message.date import format_date

__all__ = ["SUBJECTS", "explain"]

SUBJECTS: Final[dict[Action, str]] = {
    Action.FAILED: "Not delivered",
    Action.DELAYED: "Not delivered yet",
    Action.DELIVERED: "Delivered",
    Action.RELAYED: "Passed on",
    Action.EXPANDED: "Passed on to a list",
}
_OPENINGS: Final[dict[Action, str]] = {
    Action.FAILED: "Your message could not be delivered to",
    Action.DELAYED: "Your message has not been delivered yet. It is still being tried; you need do nothing.\nIt waits for",
    Action.DELIVERED: "As you asked to be told: your message was delivered to",
    Action.RELAYED: (
        "As you asked to be told: your message was passed on to another server, which took it.\n"
        "That server does not report deliveries, so this is all you will hear of"
    ),
    Action.EXPANDED: "As you asked to be told: your message was passed on to everybody behind",
}
# By subject and detail of the status, then by subject (RFC 3463 section 3): what the sender can do about a failure.
_ADVICE: Final[dict[str, str]] = {
    "1": "The address is wrong or no longer in use. Check its spelling, or ask the recipient in another way.",
    "1.10": "This domain takes no mail at all. Check the spelling of the part behind the @.",
    "1.7": "The other server does not take your own address. Your postmaster can help.",
    "1.8": "The other server does not take your own address. Your postmaster can help.",
    "2": "There may be something wrong with the mailbox. Ask the recipient in another way.",
    "2.2": "The mailbox is full. Ask the recipient to make room, then send the message again.",
    "2.3": "The message is too big for this mailbox. Send it again without large attachments.",
    "3.4": "The message is too big for the other server. Send it again without large attachments.",
    "4": "The other server could not be reached. Check the spelling of the part behind the @; if it is right, try again later.",
    "4.6": "The message went in circles between servers. The recipient's postmaster has to change that.",
    "6": "The other server cannot take what is in the message. Try again without attachments or unusual characters.",
    "7": "The other server refused the message by its rules. If its answer does not say enough, ask the recipient.",
    "7.30": "You asked for an encrypted way to the recipient, and there is none.",
}
_ANSWER_LINES: Final = 4
_LINE: Final = 400
_MOST_GROUPS: Final = 50
_WIDTH: Final = 76


def explain(
    action: Action,
    recipients: Sequence[Fate],
    hostname: str,
    arrived: int,
    about: Sequence[tuple[str, str]],
    *,
    is_whole: bool,
) -> str:
    """The text. `about` is what the message says of itself: (name, value) of its Subject and so on."""
    groups: dict[str, list[Fate]] = {}
    for recipient in recipients:
        groups.setdefault(_circumstances(action, recipient, arrived), []).append(recipient)
    pieces = [f"This is the mail server {hostname}.\n\n{_OPENINGS[action]}:\n"]
    shown = list(groups.items())[:_MOST_GROUPS]
    others = [recipient for members in list(groups.values())[_MOST_GROUPS:] for recipient in members]
    if others:
        shown.append(("    Each of these has reasons of its own: see the facts for programs.\n", others))
    for circumstances, members in shown:
        pieces += ["\n", *[f"  {_name(recipient)}\n" for recipient in members]]
        if circumstances:
            pieces += ["\n", circumstances]
    pieces.append(_closing(action, arrived, about, is_whole))
    return "".join(pieces)


def _name(recipient: Fate) -> str:
    """With the address that the sender wrote to, where it is another."""
    address = printable(recipient.address)
    given = printable(recipient.orcpt.partition(";")[2])
    return f"{address} (you wrote to {given})" if given and given.lower() != address.lower() else address


def _circumstances(action: Action, recipient: Fate, arrived: int) -> str:
    lines = [*_why(recipient), *_when(action, recipient, arrived)]
    if action is Action.FAILED:
        advice = _advice(status_of(recipient, action))
        lines += [advice] if advice else []
    return "".join([_indented(line) + "\n" for line in lines])


def _indented(line: str) -> str:
    """What others said stays as it is; what we say is wrapped."""
    if line.startswith(">"):
        return "    " + line
    indent = "    "
    return textwrap.fill(
        line, _WIDTH, initial_indent=indent, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )


def _why(recipient: Fate) -> list[str]:
    reply = recipient.reply
    if reply is None:
        return [printable(recipient.reason)] if recipient.reason else []
    host = f"The server {printable(recipient.host)}" if recipient.host else "The server"
    if reply.is_positive:
        return [f"{host} took it."] if recipient.host else []
    said = [f"> {reply.code} {_enhanced(reply.enhanced)}{printable(line[:_LINE])}" for line in reply.lines[:_ANSWER_LINES]]
    return [f"{host} answered:", *(said or [f"> {reply.code}"])]


def _enhanced(code: str) -> str:
    return f"{printable(code)} " if code else ""


def _when(action: Action, recipient: Fate, arrived: int) -> list[str]:
    if action is Action.FAILED and recipient.is_expired:
        since = f" since {format_date(arrived)}" if arrived else ""
        return [f"It was tried again and again{since}."]
    if action is not Action.DELAYED:
        return []
    lines = [f"It is tried again at about {format_date(recipient.next_attempt)}."] if recipient.next_attempt else []
    if recipient.retry_until:
        lines.append(f"If nothing helps, it is given up at {format_date(recipient.retry_until)}, and you are told.")
    return lines


def _advice(status: str) -> str:
    subject = status.partition(".")[2]
    return _ADVICE.get(subject) or _ADVICE.get(subject.partition(".")[0], "")


def _closing(action: Action, arrived: int, about: Sequence[tuple[str, str]], is_whole: bool) -> str:
    told = [f"  {name}: {printable(value[:_LINE])}\n" for name, value in about if value]
    if arrived:
        told.append(f"  Received here: {format_date(arrived)}\n")
    ending = "It will not be tried again. " if action is Action.FAILED else ""
    enclosed = "the message itself" if is_whole else "the header of the message"
    return (
        ("\nThe message:\n\n" + "".join(told) if told else "")
        + f"\n{ending}This report was written by a program, which reads no answers.\n"
        + f"Enclosed are the same facts for programs, and {enclosed}.\n"
    )
