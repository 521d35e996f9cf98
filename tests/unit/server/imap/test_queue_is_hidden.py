"""The queue is kept like an account, and nobody reaches it by IMAP."""

import asyncio

from tests.scripts.imap_world import ImapWorld
from tests.unit.server.imap.test_rendering import LOGIN, say, selected

from postwren.delivery.envelope import Elsewhere, Envelope
from postwren.delivery.queue import accept
from postwren.mailstore.queue import QUEUE_LOGIN
from postwren.server.imap import ImapSettings
from postwren.storage.memory import MemoryStore
from postwren.terms import Address

NOW = 1_700_000_000


def test_not_even_an_administrator_sees_or_limits_the_queue() -> None:
    async def work() -> None:
        world = ImapWorld(MemoryStore(), ImapSettings(administrators=frozenset({LOGIN})))
        await world.account(LOGIN, 0)
        writer = world.store.new_body()
        writer.write(b"Subject: out\r\n\r\n")
        body = writer.finish()
        envelope = Envelope(Address(*LOGIN.split("@")), elsewhere=[Elsewhere(Address("bob", "b.example"))])
        await world.store.perform(accept(envelope, body, NOW, 1), [body])
        link = await selected(world)
        name = QUEUE_LOGIN.encode()
        assert b"a NO" in await say(link, b"a SETQUOTA " + name + b" (STORAGE 1)")
        assert b"a NO" in await say(link, b"a GETQUOTA " + name)
        assert b"a NO" in await say(link, b'a SELECT "Other Users/' + name + b'/INBOX"')
        assert name not in await say(link, b'a LIST "" "*"')
        assert world.store.reader.queue_size() == (1, 1)
        world.end()

    asyncio.run(work())
