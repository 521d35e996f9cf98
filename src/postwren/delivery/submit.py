"""The unit of work of a submission (docs/exchange.md): its token, its recipients and its sender's copy, all or none (D-02)."""

from dataclasses import dataclass

from postwren.delivery.envelope import Envelope
from postwren.delivery.inbound import Outcome
from postwren.delivery.intake import Deliver
from postwren.mailstore.errors import AlreadySubmitted
from postwren.mailstore.port import NewBody, Transaction, Unit
from postwren.mailstore.service.deliver import Target, deliver
from postwren.mailstore.service.flags import SEEN
from postwren.mailstore.service.sent import sent_mailbox
from postwren.terms import AccountId

__all__ = ["Submit"]

_READ = frozenset((SEEN,))


@dataclass(frozen=True, slots=True)
class Submit:
    """A `Deliver` around another, which knows recipients only. `submitter` owns the copy, if there is one, and the token.

    A token is looked for and kept in the unit that keeps the message: of two submissions with one token at the same time, one is
    kept and the other raises AlreadySubmitted, whatever crashes in between."""

    accept: Deliver
    submitter: AccountId
    keeps_copy: bool

    def __call__(self, envelope: Envelope, body: NewBody, now: int) -> Unit[list[Outcome]]:
        accept = self.accept(envelope, body, now)

        def run(tx: Transaction) -> list[Outcome]:
            if envelope.token:
                if tx.submission_by_token(self.submitter, envelope.token):
                    raise AlreadySubmitted(envelope.token)
                tx.put_token(self.submitter, envelope.token, now)
            outcomes = accept(tx)
            if self.keeps_copy:
                mailbox = sent_mailbox(tx, self.submitter, now)
                deliver([Target(self.submitter, mailbox.name, _READ)], body, now)(tx)
            return outcomes

        return run
