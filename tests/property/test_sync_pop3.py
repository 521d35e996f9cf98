"""Random lives of a maildrop and a device: connections that break anywhere, listings that lie, names that change. At the end
every message that ever came is here once, and none left the server before it was here (A-96, D-71).

One thing is left out: a server that says it deleted, did not, and has no names to tell. The same octets again are another message
then, as they would be if somebody sent them twice.

RUNS=10000 in the environment for many more of them.
"""

import asyncio
import os
import tempfile
from dataclasses import replace
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.unit.sync.device import Device
from tests.unit.sync.maildrop_server import Maildrop, Session, serving

from postwren.storage.memory import MemoryStore

NAMES = st.sampled_from(["stable", "none", "missing", "twice", "numbers", "renamed", "quirky", "swapped"])
SESSIONS = st.builds(
    Session,
    uidls=NAMES,
    list_off=st.sampled_from([0, 0, 0, -4, 10, 500]),  # no multiples of what two sizes differ by
    cut_after=st.one_of(st.none(), st.integers(0, 6000)),
    forgets=st.sampled_from([False, False, True]),
    refuses_quit=st.sampled_from([False, False, False, True]),
    without=st.sampled_from([frozenset(), frozenset(), frozenset({b"PIPELINING"}), frozenset({b"TOP"})]),
    shorter=st.frozensets(st.integers(1, 20), max_size=3),
)
STEPS = st.lists(st.tuples(SESSIONS, st.integers(0, 6)), min_size=1, max_size=5)


def letter(number: int) -> bytes:
    """Each of a size of its own: names and sizes together are what a device may believe until it deletes."""
    return b"Message-ID: <%d@example.net>\r\n\r\n" % (number + 10**6) + b".\r\n" * number + b"end\r\n"


async def live(folder: Path, steps: list[tuple[Session, int]], twice: int, delete: str) -> None:
    if any(kind.forgets for kind, _ in steps):
        steps = [(replace(kind, uidls="stable"), more) for kind, more in steps]
    store = MemoryStore()
    try:
        device = await Device(store, folder, delete).begin()
        drop = Maildrop(durable=device.holds)
        sent: list[bytes] = []

        def arrive(octets: bytes) -> None:
            sent.append(octets)
            drop.put(octets)

        for number in range(5):
            arrive(letter(number))
        for number in range(twice):
            arrive(letter(number))

        async def work(port: int) -> None:
            for kind, more in steps:
                drop.sessions = [kind]
                await device.sync(port)
                for _ in range(more):
                    arrive(letter(len(sent)))
            drop.sessions = [Session()]
            assert await device.sync(port), device.failed
            assert await device.sync(port), device.failed

        await serving(drop, work)
        assert sorted(device.messages()) == sorted(sent)
        assert not drop.lost
        assert bool(drop.messages) == (delete == "never")
    finally:
        store.close()


@settings(max_examples=int(os.environ.get("RUNS", "150")), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(STEPS, st.integers(0, 3), st.sampled_from(["at-once", "at-once", "never"]))
def test_every_message_is_here_once_whatever_the_server_does(steps: list[tuple[Session, int]], twice: int, delete: str) -> None:
    with tempfile.TemporaryDirectory() as name:
        asyncio.run(live(Path(name), steps, twice, delete))
