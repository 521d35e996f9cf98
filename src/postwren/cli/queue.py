"""`postwren queue`: mail on its way to other hosts, beside a running server or alone."""

import secrets
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Annotated, Any, Final, NamedTuple

import typer

from postwren.cli.context import ConfigOption, DataOption, JsonOption, Place, fail, print_json, with_store
from postwren.delivery.attempt import Fate, Outcome, Verdict
from postwren.delivery.queue import Concluder, Key, drop, hold, read_clock, retry
from postwren.delivery.report import Reporter
from postwren.delivery.retry import SavedClock
from postwren.mailstore.errors import BodyCorrupt, MessageGone
from postwren.mailstore.port import Reader, Store, Unit
from postwren.mailstore.queue import DeliveryState, QueuedMessage, QueuedRecipient
from postwren.mailstore.service.accounts import canonical_address, resolve
from postwren.mailstore.service.queue import queue_mailbox
from postwren.message.encodedword import decode_words
from postwren.message.header import read_header
from postwren.terms import Address, Uid

app = typer.Typer(help="See what waits to be sent to other servers, and decide about it.", no_args_is_help=True)

AT_ONCE: Final = 500
_HEAD: Final = 65_536  # octets of a message in which header fields are looked for
_SHOWN: Final = 300  # letters of what a host said
_DROPPED: Final = Verdict(Fate.FAILED, 554, "5.0.0", "An administrator of this server took the message out of the queue.")

IdsArgument = Annotated[list[int] | None, typer.Argument(metavar="[ID]...", help="Queue ids, as the list shows them.")]
DomainOption = Annotated[str, typer.Option("--domain", metavar="NAME", help="Only what goes to this domain.")]
SenderOption = Annotated[str, typer.Option("--sender", metavar="ADDRESS", help="Only from this address; <> is nobody's.")]
RecipientOption = Annotated[str, typer.Option("--recipient", metavar="ADDRESS", help="Only what goes to this address.")]
AllOption = Annotated[bool, typer.Option("--all", help="Everything in the queue.")]


@dataclass(frozen=True, slots=True)
class Wish:
    """Which recipients of which messages are meant; what is empty does not matter."""

    ids: frozenset[int] = frozenset()
    domain: str = ""
    sender: str = ""
    recipient: str = ""

    def has_message(self, message: QueuedMessage) -> bool:
        if self.ids and message.uid not in self.ids:
            return False
        return not self.sender or message.reverse_path.lower() == self.sender.lower().strip("<>")

    def has_recipient(self, row: QueuedRecipient) -> bool:
        if self.domain and row.domain != self.domain:
            return False
        return not self.recipient or row.address.lower() == self.recipient.lower()


class Waiting(NamedTuple):
    """A message with those of its recipients that are meant."""

    message: QueuedMessage
    recipients: list[QueuedRecipient]
    octets: int


@app.command("list")
def list_(
    domain: DomainOption = "",
    sender: SenderOption = "",
    recipient: RecipientOption = "",
    as_json: JsonOption = False,
    data: DataOption = None,
    config: ConfigOption = None,
) -> None:
    """Show what waits: from whom, to whom, how long, why, and when it is tried again."""

    async def work(store: Store, _: Place) -> None:
        wish = Wish(domain=_canonical_domain(domain), sender=sender, recipient=recipient)
        found, clock, now = await store.read(partial(_all, wish)), read_clock(store.reader), int(time.time())
        if as_json:
            print_json([_described(waiting, clock, now) for waiting in found])
            return
        for waiting in found:
            _print(waiting, clock, now)
        recipients = sum(len(waiting.recipients) for waiting in found)
        print(f"{_count(len(found), 'message')} to {_count(recipients, 'recipient')}" if found else "nothing waits")

    with_store(data, config, work, only_reads=True)


@app.command("show")
def show(
    queue_id: Annotated[int, typer.Argument(metavar="ID", help="A queue id, as the list shows it.")],
    as_json: JsonOption = False,
    data: DataOption = None,
    config: ConfigOption = None,
) -> None:
    """Show everything that is known of one message, and the fields of its header that people read."""

    async def work(store: Store, _: Place) -> None:
        found = await store.read(partial(_all, Wish(frozenset((queue_id,)))))
        if not found:
            fail(f"no message {queue_id} in the queue: it was delivered, returned or dropped")
        clock, now = read_clock(store.reader), int(time.time())
        fields = _header(store, Uid(queue_id))
        if as_json:
            print_json(_described(found[0], clock, now) | {"header": fields})
            return
        for name, value in fields.items():
            print(f"{name}: {value}")
        _print(found[0], clock, now)
        for row in found[0].recipients:
            left = _seconds(row.expires - clock.advanced(now))
            print(f"    {row.address}: tried {_count(row.attempts, 'time')}, given up {left}")

    with_store(data, config, work, only_reads=True)


@app.command("retry")
def retry_(
    ids: IdsArgument = None,
    domain: DomainOption = "",
    sender: SenderOption = "",
    recipient: RecipientOption = "",
    everything: AllOption = False,
    data: DataOption = None,
    config: ConfigOption = None,
) -> None:
    """Try to deliver as soon as can be; what is held is let go."""
    wish = _wish(ids, domain, sender, recipient, everything)
    _change(wish, retry, "tried as soon as can be", data, config)


@app.command("hold")
def hold_(
    ids: IdsArgument = None,
    domain: DomainOption = "",
    sender: SenderOption = "",
    recipient: RecipientOption = "",
    everything: AllOption = False,
    data: DataOption = None,
    config: ConfigOption = None,
) -> None:
    """Do not try until `queue retry`."""
    wish = _wish(ids, domain, sender, recipient, everything)
    _change(wish, hold, "held", data, config)


@app.command("drop")
def drop_(
    ids: IdsArgument = None,
    domain: DomainOption = "",
    sender: SenderOption = "",
    recipient: RecipientOption = "",
    everything: AllOption = False,
    silent: Annotated[bool, typer.Option("--silent", help="Nobody is told. Without it the sender gets a report.")] = False,
    data: DataOption = None,
    config: ConfigOption = None,
) -> None:
    """Give up delivering, and tell the sender."""
    wish = _wish(ids, domain, sender, recipient, everything)
    if silent:
        _change(wish, drop, "dropped", data, config)
        return

    async def work(store: Store, place: Place) -> None:
        dropped, saved = 0, read_clock(store.reader)
        hostname, separator = place.config.hostname or socket.getfqdn(), place.config.smtp.subaddress_separator

        def clock() -> int:
            return saved.advanced(int(time.time()))

        reporter = Reporter(hostname, clock, time.time, lambda: secrets.token_hex(16))
        locate = partial(resolve, separator=separator)
        conclude = Concluder(store, reporter, clock, time.time, lambda: 0.0, locate=locate)
        for waiting in await store.read(partial(_all, wish)):
            outcomes = [Outcome(row.number, _DROPPED) for row in waiting.recipients]
            await conclude(waiting.message.uid, outcomes)
            dropped += len(outcomes)
        _say(dropped, "dropped, and their senders are told", wish)

    with_store(data, config, work)


def _canonical_domain(text: str) -> str:
    """As the rows have it: in lower case and A-labels."""
    return canonical_address(Address("", text)).domain


def _wish(ids: list[int] | None, domain: str, sender: str, recipient: str, everything: bool) -> Wish:
    if not (ids or domain or sender or recipient or everything):
        raise typer.BadParameter("say which: queue ids, --domain, --sender, --recipient, or --all")
    return Wish(frozenset(ids or ()), _canonical_domain(domain), sender, recipient)


def _change(wish: Wish, unit: Callable[[list[Key]], Unit[int]], what: str, data: Any, config: Any) -> None:
    async def work(store: Store, _: Place) -> None:
        keys = [(row.uid, row.number) for waiting in await store.read(partial(_all, wish)) for row in waiting.recipients]
        changed = 0
        for start in range(0, len(keys), AT_ONCE):
            changed += await store.perform(unit(keys[start : start + AT_ONCE]))
        _say(changed, what, wish)

    with_store(data, config, work)


def _say(count: int, what: str, wish: Wish) -> None:
    if wish.ids and not count:
        fail("nothing was changed; `postwren queue list` shows what is there")
    print(f"{_count(count, 'recipient')} {what}")


# -- what is there


def _all(wish: Wish, reader: Reader) -> list[Waiting]:
    return list(_found(wish, reader))


def _found(wish: Wish, reader: Reader) -> Iterator[Waiting]:
    where, last = queue_mailbox(reader), Uid(0)
    while where is not None and (messages := reader.queued_messages(last, AT_ONCE)):
        last = messages[-1].uid
        uids, sizes = reader.pick(*where, [(messages[0].uid, last)], ("uid", "size"))
        octets = dict(zip(uids, sizes, strict=True))
        for message in filter(wish.has_message, messages):
            rows = [row for row in reader.queued_recipients(message.uid) if wish.has_recipient(row)]
            if rows:
                yield Waiting(message, rows, octets.get(message.uid, 0))


def _header(store: Store, uid: Uid) -> dict[str, str]:
    """What people know a message by."""
    where = queue_mailbox(store.reader)
    entries = [] if where is None else store.reader.entries(*where, [(uid, uid)])
    email = store.reader.email(entries[0].account_id, entries[0].email_id) if entries else None
    head = b""
    if email is not None:
        with suppress(BodyCorrupt, MessageGone, OSError):
            head = store.read_body(email.body, 0, min(email.body.size, _HEAD))
    fields = read_header(head)
    names = ("From", "To", "Subject", "Date", "Message-ID")
    values = {name: decode_words(fields.first(name.lower().encode()) or b"") for name in names}
    return {name: _plain(value) for name, value in values.items() if value}


# -- how it is said


def _described(waiting: Waiting, clock: SavedClock, now: int) -> dict[str, Any]:
    """As `--json` has it; moments are seconds since 1970, None of an attempt that is not planned."""
    message, here = waiting.message, clock.advanced(now)
    return {
        "id": message.uid,
        "sender": message.reverse_path,
        "queued": message.queued,
        "octets": waiting.octets,
        "recipients": [
            {
                "address": row.address,
                "domain": row.domain,
                "state": row.state.name.lower(),
                "attempts": row.attempts,
                "next_attempt": now + max(row.next_attempt - here, 0) if row.state is DeliveryState.WAITING else None,
                "gives_up": now + row.expires - here,
                "reply": row.reply,
            }
            for row in waiting.recipients
        ],
    }


def _print(waiting: Waiting, clock: SavedClock, now: int) -> None:
    message = waiting.message
    since = datetime.fromtimestamp(message.queued).strftime("%Y-%m-%d %H:%M")
    sender = _plain(message.reverse_path) or "<> (a report)"
    age = _seconds(now - message.queued).removeprefix("in ")
    print(f"{message.uid}\t{since}\t{waiting.octets:,} octets\tfrom {sender}, waits {age}")
    for row in waiting.recipients:
        when = "held" if row.state is DeliveryState.HELD else f"next attempt {_seconds(row.next_attempt - clock.advanced(now))}"
        why = _plain(row.reply) or "not tried yet"
        print(f"\tto {_plain(row.address)}: {when}; {why}")


def _seconds(seconds: int) -> str:
    for unit, octave in (("day", 86_400), ("hour", 3600), ("minute", 60)):
        if seconds >= 2 * octave or (seconds >= octave and unit == "minute"):
            return f"in {_count(seconds // octave, unit)}"
    return f"in {_count(seconds, 'second')}" if seconds > 0 else "now"


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _plain(text: str) -> str:
    """What others wrote, on a terminal (A-33)."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)[:_SHOWN]
