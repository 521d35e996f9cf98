"""Units of work of the queue (docs/exchange.md): a message into it, what an attempt brought, what the operator wants.

    store.write(accept(envelope, body, now, queue_now), [body], done)     local copies and rows of the queue in one commit (D-02)
    await Concluder(...)(uid, outcomes)                                   what became of recipients, with the reports it calls for

A report is written in the same unit that takes its recipient away, so there is never one without the other (D-07). Its octets
must be there before the unit runs: `plan` says from rows and outcomes what is to be written and what to be reported, the reports
are composed, and `write` does it all if the rows are still those that were planned with. Nothing is ever reported to <> (A-27),
of whom the sender does not want to hear (RFC 3461 section 4.1), or twice of one recipient.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeAlias

from postwren.delivery import inbound
from postwren.delivery.attempt import Fate, Outcome, Verdict
from postwren.delivery.dsn import DEFAULT_LIMITS
from postwren.delivery.envelope import Envelope
from postwren.delivery.retry import QueueClock, SavedClock, Schedule
from postwren.delivery.status import Action, wants, wants_relayed
from postwren.delivery.trace import return_path, return_path_octets
from postwren.mailstore.errors import MailstoreError
from postwren.mailstore.port import NewBody, Reader, Store, Transaction, Unit
from postwren.mailstore.queue import NEVER, DeliveryState, QueuedMessage, QueuedRecipient
from postwren.mailstore.service.accounts import canonical_address, resolve
from postwren.mailstore.service.placement import Arrival, put_in
from postwren.mailstore.service.queue import change_recipients, enqueue, queue_mailbox
from postwren.protocols.smtp.path import AddressInvalid, parse_mailbox
from postwren.terms import INBOX, AccountId, Address, EmailId, FlagSetId, ModSeq, Uid

__all__ = [
    "SETTLES",
    "TOKENS_KEPT",
    "Accept",
    "Also",
    "Compose",
    "Concluder",
    "Conclusion",
    "Known",
    "Locate",
    "Notice",
    "Report",
    "Told",
    "accept",
    "drop",
    "hold",
    "plan",
    "read_clock",
    "retry",
    "save_clock",
    "send_report",
    "write",
]

TOKENS_KEPT: Final = 7 * 86_400
"""Seconds in which a repeated submission is recognised: above what a device tries again for."""
SETTLES: Final = 3
"""Seconds that a message rests in an outbox: its mail program puts a copy into Sent meanwhile, if it does so at all."""
_CLOCK: Final = "queue-clock"
_USUAL: Final = Schedule()
Key: TypeAlias = tuple[Uid, int]
Locate: TypeAlias = Callable[[Reader, Address], AccountId | None]


# -- into the queue


def accept(
    envelope: Envelope, body: NewBody, now: int, queue_now: int, schedule: Schedule = _USUAL
) -> Unit[list[inbound.Outcome]]:
    """A copy for each recipient that lives here, rows of the queue for all others; all or none. Raises what `deliver_all` does;
    an outcome a recipient that lives here. `now` is in seconds since 1970, `queue_now` in the queue's own."""
    deliver_here = inbound.deliver_all(envelope, body, now)
    message, rows = _rows_of(envelope, now, queue_now + envelope.hold, schedule)

    def unit(tx: Transaction) -> list[inbound.Outcome]:
        outcomes = deliver_here(tx)
        if rows:
            enqueue(tx, message, rows, body, now)
        if envelope.token:
            tx.forget_tokens(now - TOKENS_KEPT)
        return outcomes

    return unit


@dataclass(frozen=True, slots=True)
class Accept:
    """`accept` as an `intake.Deliver`; `clock` tells the queue's seconds."""

    clock: Callable[[], int]
    schedule: Schedule = _USUAL
    locate: Locate = resolve

    def __call__(self, envelope: Envelope, body: NewBody, now: int) -> Unit[list[inbound.Outcome]]:
        return accept(envelope, body, now, self.clock(), self.schedule)

    def send_report(self, tx: Transaction, reverse_path: str, report: "Report", now: int) -> None:
        """A `receipt.Send`."""
        send_report(tx, reverse_path, report, now, self.clock(), self.schedule, self.locate)


def _rows_of(envelope: Envelope, now: int, queue_now: int, schedule: Schedule) -> tuple[QueuedMessage, list[QueuedRecipient]]:
    reverse_path = "" if envelope.reverse_path is None else str(envelope.reverse_path)
    message = QueuedMessage(
        *(Uid(0), reverse_path, envelope.submitter or AccountId(0), now, envelope.envid, envelope.ret, envelope.body),
        *(envelope.is_utf8, envelope.requires_tls, envelope.token),
    )
    once = {each.address: each for each in reversed(envelope.elsewhere)}  # of one that is there twice the first counts
    rows = [
        _new_recipient(number, address, once[address].notify, once[address].orcpt, queue_now, schedule)
        for number, address in enumerate(dict.fromkeys(each.address for each in envelope.elsewhere), 1)
    ]
    if envelope.outbox:  # a device that was off for a month sends it all the same
        rows = [row._replace(domain=envelope.outbox, expires=NEVER, next_attempt=queue_now + SETTLES) for row in rows]
    return message, rows


def _new_recipient(number: int, address: Address, notify: str, orcpt: str, queue_now: int, schedule: Schedule) -> QueuedRecipient:
    expires = queue_now + schedule.give_up_after
    key = Uid(0), number, str(address), canonical_address(address).domain
    return QueuedRecipient(*key, notify, orcpt, DeliveryState.WAITING, 0, queue_now, expires, False, "")


# -- what an attempt brought


class Told(NamedTuple):
    """What a report says of a recipient. `row` is how it stands now: of one that waits, with its next attempt."""

    row: QueuedRecipient
    verdict: Verdict
    is_expired: bool


@dataclass(frozen=True, slots=True)
class Notice:
    """A report that is called for: one for all recipients of an action (A-28)."""

    action: Action
    told: tuple[Told, ...]


@dataclass(frozen=True, slots=True)
class Conclusion:
    """What is to be written for one message. `before`: the rows that it was planned with."""

    message: QueuedMessage
    before: tuple[QueuedRecipient, ...]
    put: tuple[QueuedRecipient, ...]
    gone: tuple[Key, ...]
    notices: tuple[Notice, ...]


class Report(NamedTuple):
    """The octets of a report, and what they ask of a host: `form` as in `QueuedMessage.body`."""

    body: NewBody
    form: str
    is_utf8: bool


Compose: TypeAlias = Callable[[QueuedMessage, Notice, bytes, int], bytes | None]
"""(the message, what to say, its first octets, its size) -> a report for its reverse-path, or None where there must be none."""


def plan(
    message: QueuedMessage,
    rows: Iterable[QueuedRecipient],
    outcomes: Iterable[Outcome],
    queue_now: int,
    schedule: Schedule,
    draw: float,
) -> Conclusion:
    """Pure. Who is not in `rows` any more was dropped meanwhile, and nothing is said of him. What is deferred beyond its time
    has failed. 0 <= `draw` < 1: recipients of one message that are deferred together stay together."""
    known = {row.number: row for row in rows}
    before, put, gone = [], [], []
    told: dict[Action, list[Told]] = {}
    for number, verdict in {outcome.number: outcome.verdict for outcome in outcomes}.items():
        row = known.get(number)
        if row is None:
            continue
        before.append(row)
        after = row._replace(reply=str(verdict))
        is_expired = verdict.fate is Fate.DEFERRED and queue_now >= row.expires
        if verdict.fate is Fate.DEFERRED and not is_expired:
            after = _deferred(after, queue_now, schedule, draw)
            put.append(after)
        else:
            gone.append((row.uid, row.number))
        action = _action(row, after, verdict, is_expired)
        # that a stranger's message went on is no news of ours to send
        is_theirs = action is Action.RELAYED and not message.account_id
        if action is not None and message.reverse_path and not is_theirs:
            told.setdefault(action, []).append(Told(after, verdict, is_expired))
    notices = tuple(Notice(action, tuple(each)) for action, each in told.items())
    return Conclusion(message, tuple(before), tuple(put), tuple(gone), notices)


def _deferred(row: QueuedRecipient, queue_now: int, schedule: Schedule, draw: float) -> QueuedRecipient:
    attempts = row.attempts + 1
    return row._replace(
        state=DeliveryState.WAITING if row.state is DeliveryState.HANDED_OVER else row.state,
        attempts=attempts,
        next_attempt=schedule.next_attempt(attempts, queue_now, draw),
        warned=row.warned or schedule.is_warning_due(row.expires, queue_now),
    )


def _action(row: QueuedRecipient, after: QueuedRecipient, verdict: Verdict, is_expired: bool) -> Action | None:
    """What the sender is to hear, if anything (RFC 3461 section 5.2)."""
    if verdict.fate is Fate.DELIVERED:
        return Action.RELAYED if wants_relayed(row.notify, has_dsn=verdict.offers_dsn) else None
    if verdict.fate is Fate.FAILED or is_expired:
        return Action.FAILED if wants(row.notify, Action.FAILED) else None
    if after.warned and not row.warned and wants(row.notify, Action.DELAYED, warns=True):
        return Action.DELAYED
    return None


def write(
    conclusion: Conclusion,
    reports: Sequence[Report],
    now: int,
    queue_now: int,
    schedule: Schedule = _USUAL,
    locate: Locate = resolve,
) -> Unit[bool]:
    """All of it, or nothing: False where the rows are not those of the plan any more (plan again, with new bodies)."""
    uid = conclusion.message.uid

    def unit(tx: Transaction) -> bool:
        rows = {row.number: row for row in tx.queued_recipients(uid)}
        if any(rows.get(row.number) != row for row in conclusion.before):
            return False
        change_recipients(tx, conclusion.put, conclusion.gone)
        for report in reports:
            send_report(tx, conclusion.message.reverse_path, report, now, queue_now, schedule, locate)
        return True

    return unit


def send_report(
    tx: Transaction,
    reverse_path: str,
    report: Report,
    now: int,
    queue_now: int,
    schedule: Schedule = _USUAL,
    locate: Locate = resolve,
) -> None:
    """Inside a unit: a report for whoever sent something. Here it goes into the INBOX, whatever the quota: what was promised to
    be reported has no other place. For others it is queued from <>. An address here that nobody has any more gets none."""
    try:
        address = parse_mailbox(reverse_path)
    except AddressInvalid:  # "", or what only a damaged row can be
        return
    account_id = locate(tx, address)
    if account_id is not None:
        _into_inbox(tx, account_id, report.body, now)
    elif not tx.domain_exists(canonical_address(address).domain):
        message = QueuedMessage(Uid(0), "", AccountId(0), now, "", "", report.form, report.is_utf8, False, b"")
        enqueue(tx, message, [_new_recipient(1, address, "NEVER", "", queue_now, schedule)], report.body, now)


def _into_inbox(tx: Transaction, account_id: AccountId, body: NewBody, now: int) -> None:
    account, inbox = tx.account(account_id), tx.mailbox_by_name(account_id, INBOX)
    assert account is not None, "an address reaches an account"
    assert inbox is not None, "every account has an INBOX"
    modseq, next_email_id = ModSeq(account.modseq + 1), account.next_email_id
    email_id = tx.take_email(account_id, next_email_id, body)
    put_in(tx, inbox, [Arrival(email_id, FlagSetId(0), now, body.size, None)], now, modseq)
    if email_id == next_email_id:
        next_email_id = EmailId(next_email_id + 1)
    tx.update_account(account._replace(modseq=modseq, next_email_id=next_email_id, used=account.used + body.size))


Known: TypeAlias = tuple[QueuedMessage, Sequence[QueuedRecipient]]
"""A message and rows of it, read lately."""
Also: TypeAlias = Callable[[], tuple[Unit[None], NewBody]]
"""What is written in the unit of a conclusion besides, with its body; asked again where that unit must be planned anew."""


def _both(first: Unit[bool], second: Unit[None]) -> Unit[bool]:
    def unit(tx: Transaction) -> bool:
        if not first(tx):
            return False
        second(tx)
        return True

    return unit


class Concluder:
    """Writes what became of recipients. `clock` is the queue's, `now` the system's, `draw` random in [0, 1)."""

    __slots__ = ("_clock", "_compose", "_draw", "_locate", "_now", "_schedule", "_store")

    def __init__(
        self,
        store: Store,
        compose: Compose,
        clock: Callable[[], int],
        now: Callable[[], float],
        draw: Callable[[], float],
        schedule: Schedule = _USUAL,
        locate: Locate = resolve,
    ) -> None:
        self._store = store
        self._compose = compose
        self._clock = clock
        self._now = now
        self._draw = draw
        self._schedule = schedule
        self._locate = locate

    async def __call__(self, uid: Uid, outcomes: Sequence[Outcome], known: Known | None = None, also: Also | None = None) -> None:
        """Durable when it returns, with what `also` does. Raises what the store raises; then nothing is written. `known`: the
        message and the rows of all outcomes as they were read lately; without it, or where they changed since, they are read."""
        while not await self._conclude(uid, outcomes, known, also):  # somebody else changed the rows
            known = None

    async def _conclude(self, uid: Uid, outcomes: Sequence[Outcome], known: Known | None, also: Also | None) -> bool:
        reader, queue_now = self._store.reader, self._clock()
        if known is None:
            message = reader.queued_message(uid)
            if message is None:  # dropped meanwhile
                return True
            known = message, reader.queued_recipients(uid)
        conclusion = plan(*known, outcomes, queue_now, self._schedule, self._draw())
        reports: list[Report] = []
        bodies: list[NewBody] = []
        is_written = False
        try:
            if conclusion.notices:
                reports.extend(self._reports(conclusion, bodies))
            unit = write(conclusion, reports, int(self._now()), queue_now, self._schedule, self._locate)
            if also is not None:
                beside, body = also()
                bodies.append(body)
                unit = _both(unit, beside)
            is_written = await self._store.perform(unit, bodies, is_small=True)
        except asyncio.CancelledError:  # the unit is on its way, and its bodies with it
            is_written = True
            raise
        finally:
            for body in bodies if not is_written else ():
                body.discard()
        return is_written

    def _reports(self, conclusion: Conclusion, bodies: list[NewBody]) -> Iterable[Report]:
        """Each with its body, which is among `bodies` from then on."""
        message = conclusion.message
        octets, size = self._beginning(message.uid)
        top = return_path(None) if self._is_here(message.reverse_path) else b""  # RFC 5321 section 4.4: at final delivery only
        for notice in conclusion.notices:
            composed = self._compose(message, notice, octets, size)
            if composed is None:
                continue
            writer = self._store.new_body()
            writer.write(top + composed)
            is_ascii = composed.isascii()
            is_utf8 = not message.reverse_path.isascii() or (message.is_utf8 and not is_ascii)
            bodies.append(writer.finish())
            yield Report(bodies[-1], "7BIT" if is_ascii else "8BITMIME", is_utf8)

    def _is_here(self, reverse_path: str) -> bool:
        try:
            return self._locate(self._store.reader, parse_mailbox(reverse_path)) is not None
        except AddressInvalid:
            return False

    def _beginning(self, uid: Uid) -> tuple[bytes, int]:
        """A report goes out also on a message whose octets cannot be read any more."""
        reader, where = self._store.reader, queue_mailbox(self._store.reader)
        entries = [] if where is None else reader.entries(*where, [(uid, uid)])
        email = reader.email(entries[0].account_id, entries[0].email_id) if entries else None
        if email is None:
            return b"", 0
        size = email.body.size
        try:
            octets = self._store.read_body(email.body, 0, min(size, DEFAULT_LIMITS.returned))
        except (MailstoreError, OSError):
            return b"", size
        start = return_path_octets(octets)  # of the copy that stays here: it never left
        return octets[start:], size - start


# -- what the operator wants


def hold(keys: Sequence[Key]) -> Unit[int]:
    """No attempts until `retry`; what waits does not expire. Returns how many recipients were changed."""
    return _each(keys, lambda row: row if _may_be_sent(row) else row._replace(state=DeliveryState.HELD))


def retry(keys: Sequence[Key]) -> Unit[int]:
    """An attempt as soon as can be, whatever rests or is held (`next_attempt` 0 says so)."""
    return _each(keys, lambda row: row if _may_be_sent(row) else row._replace(state=DeliveryState.WAITING, next_attempt=0))


def _may_be_sent(row: QueuedRecipient) -> bool:
    """What may have been sent already is for `postwren sync outbox`, which says so."""
    return row.state in (DeliveryState.HANDED_OVER, DeliveryState.DOUBTFUL)


def drop(keys: Sequence[Key]) -> Unit[int]:
    """These recipients are done with, and nobody hears of it. With a report: `Concluder` with a verdict that they failed."""
    return _each(keys, None)


def _each(keys: Sequence[Key], edit: Callable[[QueuedRecipient], QueuedRecipient] | None) -> Unit[int]:
    wanted = set(keys)

    def unit(tx: Transaction) -> int:
        uids = sorted({uid for uid, _ in wanted})
        rows = [row for uid in uids for row in tx.queued_recipients(uid) if (row.uid, row.number) in wanted]
        if edit is None:
            change_recipients(tx, [], [(row.uid, row.number) for row in rows])
            return len(rows)
        edited = [after for row in rows if (after := edit(row)) != row]
        change_recipients(tx, edited, [])
        return len(edited)

    return unit


# -- the clock


def read_clock(reader: Reader) -> SavedClock:
    """As it was last kept."""
    return SavedClock.decode(reader.setting(_CLOCK))


def save_clock(clock: QueueClock, monotonic: float, wall: float) -> Unit[None]:
    """To be done at the start, every minute or so, and at the end."""
    saved = clock.saved(monotonic, wall)

    def unit(tx: Transaction) -> None:
        if saved.queue >= read_clock(tx).queue:
            tx.put_setting(_CLOCK, saved.encode())

    return unit
