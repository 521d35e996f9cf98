"""Submission: mail that the accounts here send (RFC 6409, RFC 8314 section 3.3), on listeners of its own.

A session here is one of reception with three answers of its own: MAIL is of somebody who logged in and names an address of
theirs, RCPT may name anybody, and the header says who wrote it. What is not said here is as in `session`. Port 25 never relays,
whoever logs in there. Which addresses are whose, and how much an account may send, is asked for each message anew.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from postwren.delivery.envelope import Elsewhere, Envelope
from postwren.delivery.intake import Deliver, Keep
from postwren.delivery.originate import NOT_YOURS, Originator, originate
from postwren.delivery.receipt import Send, report_here, with_receipt
from postwren.delivery.signing import Signers, Signing
from postwren.delivery.submit import Submit
from postwren.delivery.trace import Origin, received, return_path
from postwren.mailauth.authres import strip_forged
from postwren.mailstore.errors import BodyCorrupt, MailstoreError, MessageGone
from postwren.mailstore.port import Store
from postwren.mailstore.service.sent import is_for_sent, wants_copy
from postwren.protocols.smtp import reply as say
from postwren.protocols.smtp.command import Burl, Mail, Rcpt
from postwren.protocols.smtp.hold import hold_seconds
from postwren.protocols.smtp.params import Body
from postwren.protocols.smtp.reply import Reply
from postwren.protocols.smtp.state import LAST_IN_GROUP
from postwren.server.imap.section import MessageOctets
from postwren.server.imap.signedurl import BadUrlFound, follow, octets_of
from postwren.server.login import Authenticator
from postwren.server.smtp.allowance import Allowance
from postwren.server.smtp.directory import Directory
from postwren.server.smtp.refusal import ALREADY_SUBMITTED, AUTH_REQUIRED, NO_HOLD_HERE, NO_SUCH_DOMAIN, NO_WAY_OUT, store_refusal
from postwren.server.smtp.session import HANDLERS, SmtpSession
from postwren.server.smtp.settings import SmtpSettings
from postwren.terms import AccountId, Address
from postwren.transport.session import Handled

__all__ = ["Desk", "SubmissionSession"]

MOST_OCTETS: Final = 64 << 20  # of a message that a URL is of
_HIDDEN: Final = "localhost"  # in Received, for the client's name


def _no_outbox(_: AccountId) -> str:
    return ""


@dataclass(frozen=True, slots=True)
class Desk:
    """What all submission sessions of a server share. `accept` keeps a message for all its recipients, here and elsewhere, and
    `signers` has the keys that sign it; `is_relaying`: mail for elsewhere has a way out. `is_free`: senders and authors may be
    any address. `outbox` says of an account whether what it submits leaves by a server of its own (a device's copy of an
    account): as `Envelope.outbox`, "" where it does not. Of such a message nobody here is a recipient, and nothing is added."""

    settings: SmtpSettings
    store: Store
    directory: Directory
    authenticator: Authenticator
    allowance: Allowance
    signers: Signers
    accept: Deliver
    now: Callable[[], float]
    random: Callable[[int], bytes]
    is_relaying: bool = True
    is_free: bool = False
    shows_client: bool = False
    send_report: Send = report_here
    outbox: Callable[[AccountId], str] = _no_outbox

    def owns(self, account_id: AccountId, address: Address) -> bool:
        """Whether mail to this address reaches the account: then it may write under it."""
        return self.directory.account_of(address) == account_id


class SubmissionSession(SmtpSession):
    """A `transport.session.Session`."""

    __slots__ = ("_desk",)

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        super().__init__(desk.settings, desk.store, desk.authenticator, desk.now, desk.directory, self._submission)

    def handle(self, event: Any) -> Handled:
        if type(event) in LAST_IN_GROUP and self._is_too_early():
            return None
        return _HANDLERS[type(event)](self, event)

    def _mail_from(self, command: Mail) -> None:
        sender, account_id, desk = command.reverse_path, self._account_id, self._desk
        if account_id is None:
            self._refuse(AUTH_REQUIRED)
            return
        # `<>` is anybody's: notifications must have it (RFC 8098 section 3)
        if sender is not None and not desk.is_free and not desk.owns(account_id, sender):
            which = f" ({sender} is not)" if str(sender).isascii() else ""
            self._refuse(Reply(550, "5.7.1", f"The sender {NOT_YOURS}{which}"), sender=str(sender))
            return
        too_much = desk.allowance.objection(account_id, 1)
        if too_much is not None:
            self._refuse(too_much, login=self._login)
            return
        hold = hold_seconds(command.params.hold, int(desk.now()), desk.settings.hold_seconds)
        if isinstance(hold, Reply):
            self._refuse(hold)
            return
        self._mail(command)
        assert self._envelope is not None
        _fill(self._envelope, command, account_id, hold)
        self._envelope.outbox = desk.outbox(account_id)

    def _rcpt_to(self, command: Rcpt) -> None:
        envelope, account_id, address = self._envelope, self._account_id, command.forward_path
        assert envelope is not None
        assert account_id is not None
        too_much = self._desk.allowance.objection(account_id, len(envelope.recipients) + len(envelope.elsewhere) + 1)
        if too_much is not None:
            self._refuse(too_much, login=self._login)
        elif envelope.outbox:
            self._rcpt_by_outbox(envelope, command)
        elif envelope.hold and self._resolve(address) is not None:
            self._hold_here(envelope, command)
        elif not address.domain or self._store.reader.domain_exists(address.domain) or self._resolve(address) is not None:
            self._rcpt(command)
        elif not _has_domain(address):
            self._refuse(NO_SUCH_DOMAIN, recipient=str(address))
        elif not self._desk.is_relaying:
            self._refuse(NO_WAY_OUT, recipient=str(address))
        else:
            envelope.elsewhere.append(Elsewhere(address, *command.params.wishes()))
            self._has_recipient = True
            self.core.send(say.RECIPIENT_OK)

    def _rcpt_by_outbox(self, envelope: Envelope, command: Rcpt) -> None:
        """The account's own server knows who lives where."""
        if not _has_domain(command.forward_path):
            self._refuse(NO_SUCH_DOMAIN, recipient=str(command.forward_path))
            return
        envelope.elsewhere.append(Elsewhere(command.forward_path, *command.params.wishes()))
        self._has_recipient = True
        self.core.send(say.RECIPIENT_OK)

    def _hold_here(self, envelope: Envelope, command: Rcpt) -> None:
        """RFC 4865: who lives here waits in the queue like everybody else."""
        if not self._desk.is_relaying or not command.forward_path.domain:
            self._refuse(NO_HOLD_HERE, recipient=str(command.forward_path))
            return
        envelope.elsewhere.append(Elsewhere(command.forward_path, *command.params.wishes()))
        self._has_recipient = True
        self.core.send(say.RECIPIENT_OK)

    def _url(self, command: Burl) -> None:
        """BURL (RFC 4468): a chunk that is here already, under a URL that its owner signed for this account's submissions."""
        assert self._envelope is not None
        store = self._store
        try:
            named = follow(store.reader, command.url, self._is_for_me, self._desk.now())
            if named.email.body.size > MOST_OCTETS:
                raise BadUrlFound
            message = MessageOctets(b"".join(store.body_pieces(named.email.body)))
            octets = octets_of(message, message.section(named.section), named.partial)
        except (BadUrlFound, BodyCorrupt, MessageGone, UnicodeDecodeError):
            self._clear()
            self._refuse(say.URL_UNRESOLVED)
            return
        if named.mailbox.account_id == self._account_id and is_for_sent(named.mailbox):
            self._envelope.is_copied = True
        if octets and self.core.supply(octets):
            (self._reception or self._begin()).write(octets)
        self.core.supplied()

    def _is_for_me(self, kind: str, name: str) -> bool:
        """RFC 4467 section 3."""
        return kind in ("anonymous", "authuser") or (kind == "submit" and name == self._login)

    def _submission(self, envelope: Envelope, origin: Origin) -> "Submission":
        assert self._account_id is not None
        return Submission(self._desk, envelope, origin, self._account_id, self._login)


class Submission:
    """A `delivery.intake.Treatment`: of one message."""

    __slots__ = ("_account_id", "_desk", "_envelope", "_keep", "_login", "_origin", "_signing")

    def __init__(self, desk: Desk, envelope: Envelope, origin: Origin, account_id: AccountId, login: str) -> None:
        self._desk = desk
        self._envelope = envelope
        self._origin = origin
        self._account_id = account_id
        self._login = login
        self._keep: Keep | None = None  # but for its signature
        self._signing: Signing | None = None

    def header(self, block: bytes) -> Keep | Reply | None:
        """How it is kept, or why not; at the end of the octets where it is signed."""
        desk, envelope, account_id, reader = self._desk, self._envelope, self._account_id, self._desk.store.reader
        if envelope.token and reader.submission_by_token(account_id, envelope.token):
            return ALREADY_SUBMITTED  # the unit of work looks again
        now = desk.now()
        message_id = b"<" + desk.random(16).hex().encode() + b"@" + desk.settings.hostname.encode() + b">"
        originator = Originator(lambda address: desk.owns(account_id, address), desk.is_free)
        original = originate(block, originator, now, message_id)
        if isinstance(original, Reply):
            return original
        too_much = desk.allowance.spend(account_id, len(envelope.recipients) + len(envelope.elsewhere))
        if too_much is not None:
            return too_much
        keeps_copy = not (envelope.is_copied or envelope.outbox) and wants_copy(reader, account_id, self._login)
        submit = Submit(desk.accept, account_id, keeps_copy)
        header = strip_forged(original.header, desk.settings.hostname)
        keep = Keep(self._top(now), submit, header)
        keys = [] if envelope.outbox else desk.signers.of_header(header)
        if not keys:
            return self._with_receipt(keep, header)
        self._keep, self._signing = keep, Signing(keys, len(block) + 2)
        return None

    def _with_receipt(self, keep: Keep, header: bytes) -> Keep | Reply:
        """The last thing that is made: whoever gets it writes or discards what it holds."""
        desk = self._desk
        hostname, now, token = desk.settings.hostname, int(desk.now()), desk.random(16).hex()
        try:
            return with_receipt(
                keep, header, self._envelope, desk.store, desk.send_report, desk.signers.fields_of, hostname, now, token
            )
        except MailstoreError as error:
            return store_refusal(error)

    def _top(self, now: float) -> bytes:
        """RFC 5321 section 4.4: Return-Path is of final delivery only. One body serves all recipients, so it is there where one
        of them lives here, and what leaves begins behind it (`exchange`)."""
        envelope, origin, desk = self._envelope, self._origin, self._desk
        if envelope.outbox:
            return b""
        if not desk.shows_client:  # where somebody writes from is nobody's business (RFC 5321 section 7.6)
            origin = Origin(_HIDDEN, "", origin.protocol, origin.is_tls, origin.is_authenticated)
        top = received(origin, desk.settings.hostname, envelope, now)
        return return_path(envelope.reverse_path) + top if envelope.recipients else top

    def feed(self, data: bytes) -> None:
        if self._signing is not None:
            self._signing.feed(data)

    async def end(self) -> Keep | Reply:
        keep, signing = self._keep, self._signing
        assert keep is not None
        assert signing is not None
        header = keep.header or b""
        sent = self._desk.now() + self._envelope.hold  # what is held is signed for when it leaves
        return self._with_receipt(replace(keep, top=keep.top + signing.fields(header, sent)), header)

    def drop(self) -> None:
        """Nothing is held."""


def _fill(envelope: Envelope, command: Mail, account_id: AccountId, hold: int) -> None:
    params = command.params
    envelope.hold = hold
    envelope.submitter = account_id
    envelope.envid = params.envid or ""
    envelope.ret = params.ret.value if params.ret is not None else ""
    envelope.body = params.body.value if params.body is not None else Body.SEVEN_BIT.value
    envelope.requires_tls = params.requiretls
    envelope.token = (params.token or "").encode()


def _has_domain(address: Address) -> bool:
    """Whether anybody could be asked for its hosts: two labels at least, or an address literal. The DNS is asked later."""
    domain = address.domain
    return domain.startswith("[") or ("." in domain and not domain.rpartition(".")[2].isdigit())


_HANDLERS: Final[Mapping[type, Callable[[SubmissionSession, Any], Handled]]] = {
    **HANDLERS,
    Burl: SubmissionSession._url,
    Mail: SubmissionSession._mail_from,
    Rcpt: SubmissionSession._rcpt_to,
}
