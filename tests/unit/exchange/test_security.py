"""Transport security put together: a report goes into the queue, and a message that is queued says what it wishes."""

import asyncio
import datetime

import pytest

from postwren.delivery.envelope import Elsewhere, Envelope
from postwren.delivery.queue import accept
from postwren.exchange import security as module
from postwren.exchange.policy import TlsAttempt, TlsResult, TlsWish
from postwren.exchange.security import TransportSecurity
from postwren.exchange.wish import wish_of
from postwren.mailstore.model import Credentials
from postwren.mailstore.port import Store
from postwren.mailstore.queue import QueuedMessage
from postwren.mailstore.service.accounts import create_account
from postwren.storage.memory import MemoryStore
from postwren.terms import Address, Uid
from postwren.testing.resolver import ScriptedResolver
from postwren.wire.resolver import Txt


def queued(store: Store) -> list[QueuedMessage]:
    return store.reader.queued_messages(Uid(0), 10)


def recipients(store: Store) -> list[str]:
    return [row.address for message in queued(store) for row in store.reader.queued_recipients(message.uid)]


@pytest.mark.parametrize("place", ["tls@other.example", "ann@example.org"])
def test_a_report_goes_its_way_like_a_report_on_a_message(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    store, days = MemoryStore(), [datetime.datetime(2026, 4, 1, tzinfo=datetime.UTC)]
    monkeypatch.setattr(module, "_utc_now", lambda: days[-1])
    resolver = ScriptedResolver({("_smtp._tls.other.example", "TXT"): [Txt(f"v=TLSRPTv1; rua=mailto:{place}".encode())]})

    async def story() -> int:
        await store.perform(create_account("ann@example.org", Credentials("x", {}), 1))
        security = TransportSecurity(store, resolver, "mx.example.org", "postmaster@example.org", lambda: 0)
        rules = await security.policies.domain("other.example", TlsWish.USUAL, is_secure=False)
        rules.report(TlsAttempt("mx.other.example", "192.0.2.1", TlsResult.SUCCESS))
        await security.close()
        days.append(days[-1] + datetime.timedelta(days=1))
        return await TransportSecurity(store, resolver, "mx.example.org", "postmaster@example.org", lambda: 0).send_due()

    assert asyncio.run(story()) == 1
    if place == "tls@other.example":
        assert [message.reverse_path for message in queued(store)] == [""]
        assert recipients(store) == [place]
    else:
        account = store.reader.account_by_login("ann@example.org")
        assert account is not None
        assert account.used > 0, "it lives here: into the INBOX"


@pytest.mark.parametrize(
    ("header", "requires_tls", "wish"),
    [
        (b"TLS-Required: No\r\n", False, TlsWish.WAIVED),
        (b"TLS-Required: No\r\n", True, TlsWish.REQUIRED),
        (b"", False, TlsWish.USUAL),
    ],
)
def test_a_queued_message_says_what_it_wishes(header: bytes, requires_tls: bool, wish: TlsWish) -> None:
    store = MemoryStore()

    async def story() -> TlsWish:
        writer = store.new_body()
        octets = header + b"From: ann@example.org\r\n\r\nbody\r\n"
        writer.write(octets)
        body = writer.finish()
        elsewhere = [Elsewhere(Address("bob", "other.example"))]
        envelope = Envelope(Address("ann", "example.org"), elsewhere=elsewhere, requires_tls=requires_tls)
        await store.perform(accept(envelope, body, 1, 1), [body])
        return wish_of(queued(store)[0], octets)

    assert asyncio.run(story()) is wish
