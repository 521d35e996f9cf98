"""The commands of the TRANSACTION state: each a plain function from the maildrop and the command to the answer.

RFC 1939 sections 5 and 7. Nothing here waits and nothing here writes: DELE only marks. A message that another session
removed meanwhile is refused, never replaced by another one (D-52).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from postwren.mailstore.errors import MailstoreError, MessageGone
from postwren.protocols.pop3.command import Command, Dele, List, Noop, Retr, Rset, Stat, Top, Uidl
from postwren.protocols.pop3.reply import Reply, ok
from postwren.protocols.pop3.server import Sendable, SendListing, SendMessage
from postwren.server.pop3.body_reader import BodyReader, top
from postwren.server.pop3.maildrop_lock import MaildropLock
from postwren.server.pop3.maildrop_view import MaildropView
from postwren.server.pop3.refusal import NO_SUCH_MESSAGE, reply_to

__all__ = ["ANSWERS", "OpenMaildrop"]

DONE: Final = ok()


@dataclass(slots=True)
class OpenMaildrop:
    """What a session holds from its login to its end."""

    view: MaildropView
    bodies: BodyReader
    lock: MaildropLock
    retrieved: int = 0

    def watched(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        """A long download is a move as long as it goes on (A-47)."""
        for piece in pieces:
            self.lock.moved()
            yield piece

    def objection(self, number: int) -> Reply:
        """Why there is nothing to do with a message that is not there."""
        return reply_to(MessageGone()) if self.view.is_listed(number) else NO_SUCH_MESSAGE


def stat(maildrop: OpenMaildrop, _: Stat) -> Sendable:
    return ok(f"{maildrop.view.count} {maildrop.view.size}")


def list_(maildrop: OpenMaildrop, command: List) -> Sendable:
    view, number = maildrop.view, command.number
    if number is None:
        return SendListing(ok(f"{view.count} messages ({view.size} octets)"), view.list_lines())
    return ok(f"{number} {view.drop.sizes[number - 1]}") if view.is_listed(number) else NO_SUCH_MESSAGE


def uidl(maildrop: OpenMaildrop, command: Uidl) -> Sendable:
    view, number = maildrop.view, command.number
    if number is None:
        return SendListing(DONE, view.uidl_lines())
    return ok(f"{number} {view.drop.uidl(number - 1)}") if view.is_listed(number) else NO_SUCH_MESSAGE


def _body(maildrop: OpenMaildrop, number: int) -> Reply | bytes | Iterator[bytes]:
    view = maildrop.view
    if not view.is_there(number):
        return maildrop.objection(number)
    try:
        return maildrop.bodies.message(view.drop, number - 1)
    except MailstoreError as error:
        return reply_to(error)


def retr(maildrop: OpenMaildrop, command: Retr) -> Sendable:
    number = command.number
    body = _body(maildrop, number)
    if isinstance(body, Reply):
        return body
    maildrop.retrieved += 1
    has_dot_line = maildrop.view.drop.dot_lines[number - 1]
    return SendMessage(body if isinstance(body, bytes) else maildrop.watched(body), has_dot_line)


def top_(maildrop: OpenMaildrop, command: Top) -> Sendable:
    body = _body(maildrop, command.number)
    if isinstance(body, Reply):
        return body
    has_dot_line = maildrop.view.drop.dot_lines[command.number - 1]
    if isinstance(body, bytes):
        return SendMessage(b"".join(top((body,), command.lines)), has_dot_line)
    return SendMessage(maildrop.watched(top(body, command.lines)), has_dot_line)


def dele(maildrop: OpenMaildrop, command: Dele) -> Sendable:
    number = command.number
    if not maildrop.view.is_there(number):
        return maildrop.objection(number)
    maildrop.view.mark(number)
    return DONE


def rset(maildrop: OpenMaildrop, _: Rset) -> Sendable:
    maildrop.view.reset()
    return DONE


def noop(_: OpenMaildrop, __: Noop) -> Sendable:
    return DONE


ANSWERS: Final[dict[type[Command], Callable[[OpenMaildrop, Any], Sendable]]] = {
    Stat: stat,
    List: list_,
    Uidl: uidl,
    Retr: retr,
    Top: top_,
    Dele: dele,
    Rset: rset,
    Noop: noop,
}
