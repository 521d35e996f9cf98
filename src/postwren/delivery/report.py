"""From what the queue calls for (`queue.Notice`) to the octets of a report (`dsn.compose`)."""

from collections.abc import Callable
from dataclasses import dataclass

from postwren.delivery.dsn import Original, compose, is_reportable
from postwren.delivery.queue import Notice, Told
from postwren.delivery.status import Action, Fate
from postwren.mailstore.queue import QueuedMessage
from postwren.protocols.smtp.reply import Reply

__all__ = ["Reporter"]


@dataclass(frozen=True, slots=True)
class Reporter:
    """A `queue.Compose`. `clock` tells the queue's seconds, `now` those since 1970, `token` is random and new each time."""

    hostname: str
    clock: Callable[[], int]
    now: Callable[[], float]
    token: Callable[[], str]

    def __call__(self, message: QueuedMessage, notice: Notice, octets: bytes, size: int) -> bytes | None:
        if not is_reportable(message.reverse_path, octets):
            return None
        now = int(self.now())
        ret = "HDRS" if message.requires_tls else message.ret  # RFC 8689 section 5
        original = Original(message.reverse_path, octets, size, message.queued, message.envid, ret, message.is_utf8)
        fates = [self._fate(told, notice.action, now) for told in notice.told]
        return compose(original, notice.action, fates, hostname=self.hostname, now=now, token=self.token())

    def _fate(self, told: Told, action: Action, now: int) -> Fate:
        row, verdict = told.row, told.verdict
        until = now - self.clock()
        is_waiting = action is Action.DELAYED
        return Fate(
            row.address,
            row.orcpt,
            Reply(verdict.code, verdict.enhanced, verdict.text) if verdict.host else None,
            verdict.host,
            "" if verdict.host else verdict.text,
            "" if verdict.host or told.is_expired else verdict.enhanced,
            now,
            row.next_attempt + until if is_waiting else 0,
            row.expires + until if is_waiting else 0,
            told.is_expired,
        )
