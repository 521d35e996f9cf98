"""FETCH in bulk: what a batch says of a message is what the message is; a large message is told in the same octets."""

import asyncio
import random
import re
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.scripts.imap_world import ImapWorld

from postwren.message.part import parse_parts
from postwren.message.usual import MOST
from postwren.protocols.imap.command.fetch import Section, SectionText
from postwren.server.imap import fetch
from postwren.server.imap.rendering import _dates
from postwren.server.imap.section import MessageOctets
from postwren.storage.memory import MemoryStore
from postwren.testing.loopback import LoopbackLink

LOGIN = "ann@example.org"
NESTED = (
    b"Subject: outer\r\nX-100%: yes\r\nContent-Type: multipart/mixed; boundary=o\r\n\r\n"
    b"--o\r\nContent-Type: text/plain\r\n\r\none\r\n"
    b"--o\r\nContent-Type: message/rfc822\r\n\r\n"
    b"Subject: inner\r\nContent-Type: multipart/mixed; boundary=i\r\n\r\n--i\r\n\r\ndeep\r\n--i--\r\n"
    b"--o\r\nContent-Type: application/x\r\nContent-Transfer-Encoding: base64\r\n\r\naGFsbG8A\r\n--o--\r\n"
)
ITEMS = (
    b"UID FLAGS RFC822.SIZE INTERNALDATE ENVELOPE BODYSTRUCTURE BODY.PEEK[] BODY.PEEK[HEADER] BODY.PEEK[TEXT] BODY.PEEK[1]"
    b" BODY.PEEK[2.HEADER] BODY.PEEK[2.TEXT] BODY.PEEK[2.1] BODY.PEEK[2.MIME] BODY.PEEK[9] BODY.PEEK[]<5.40> BODY.PEEK[2]<3.7>"
    b' BODY.PEEK[HEADER.FIELDS (SUBJECT "X-100%")] BODY.PEEK[HEADER.FIELDS.NOT (SUBJECT)]'
    b" BINARY.PEEK[3] BINARY.SIZE[3] RFC822.HEADER"
)


async def say(link: LoopbackLink, line: bytes) -> bytes:
    link.receive(line + b"\r\n")
    await link.settled()
    return link.take()


async def selected(world: ImapWorld) -> LoopbackLink:
    link = world.link()
    await say(link, b"a LOGIN ann@example.org secret")
    assert b"a OK" in await say(link, b"a SELECT INBOX")
    return link


def test_a_large_message_is_told_in_the_same_octets(monkeypatch: pytest.MonkeyPatch) -> None:
    async def work() -> None:
        world = ImapWorld(MemoryStore())
        await world.account(LOGIN, 0)
        await world.deliver(LOGIN, NESTED)
        link = await selected(world)
        in_batch = await say(link, b"a FETCH 1 (" + ITEMS + b")")
        monkeypatch.setattr(fetch, "WINDOW", 10)
        assert await say(link, b"a FETCH 1 (" + ITEMS + b")") == in_batch
        assert in_batch.count(b"BODY[") == 13
        assert b"BINARY[3] ~{6}\r\nhallo\0 BINARY.SIZE[3] 6" in in_batch
        world.end()

    asyncio.run(work())


def test_a_message_of_two_megabytes_streams() -> None:
    async def work() -> None:
        message = b"Subject: large\r\n\r\n" + random.Random(3).randbytes(1 << 21).replace(b"\n", b"\r\n")
        world = ImapWorld(MemoryStore())
        await world.account(LOGIN, 0)
        await world.deliver(LOGIN, message)
        link = await selected(world)
        answer = await say(link, b"a FETCH 1 (UID BODY.PEEK[])")
        told = message.replace(b"\0", b"\x80")  # RFC 9051 section 4.3
        assert answer == b"* 1 FETCH (UID 1 BODY[] {%d}\r\n%b)\r\na OK FETCH done\r\n" % (len(told), told)
        world.end()

    asyncio.run(work())


def test_a_thousand_messages_are_told_in_batches_and_in_order() -> None:
    async def work() -> None:
        world = ImapWorld(MemoryStore())
        await world.account(LOGIN, 0)
        for number in range(1100):
            await world.deliver(LOGIN, b"Subject: %d\r\n\r\nbody %d\r\n" % (number, number))
        link = await selected(world)
        flags = await say(link, b"a FETCH 1:* (UID FLAGS)")
        assert [tuple(map(int, pair)) for pair in re.findall(rb"\* (\d+) FETCH \(UID (\d+) ", flags)] == [
            (number, number) for number in range(1, 1101)
        ]
        bodies = await say(link, b"a UID FETCH 1:* BODY.PEEK[TEXT]")
        assert re.findall(rb"body (\d+)\r\n", bodies) == [b"%d" % number for number in range(1100)]
        world.end()

    asyncio.run(work())


@given(st.integers(-62_135_596_800, 253_402_300_799))
@settings(max_examples=100)
def test_dates_are_those_of_the_calendar(seconds: int) -> None:
    day, minute, second = (next(iter(column)) for column in _dates([seconds]))
    text = b"%b %b:%02d" % (day, minute, second)
    at = datetime.fromtimestamp(seconds, UTC)
    assert datetime.strptime(text.decode().strip().rjust(20, "0"), "%d-%b-%Y %H:%M:%S").replace(tzinfo=UTC) == at


def test_dates_beyond_four_digits_are_the_last_there_are() -> None:
    day, _, _ = _dates([1 << 60])
    assert list(day) == [b"31-Dec-9999"]


@pytest.mark.parametrize(
    ("parts", "text"),
    [((1,), b"one"), ((2, 1), b"deep"), ((3,), b"aGFsbG8A"), ((4,), None), ((1, 1), None), ((2, 2), None), ((2, 1, 1), None)],
)
def test_a_part_is_found_by_its_numbers(parts: tuple[int, ...], text: bytes | None) -> None:
    found = MessageOctets(NESTED).section(Section(parts))
    assert (None if found is None else NESTED[slice(*found)]) == text


@pytest.mark.parametrize("text", [SectionText.HEADER, SectionText.TEXT])
def test_header_and_text_are_of_messages_only(text: SectionText) -> None:
    assert MessageOctets(NESTED).section(Section((1,), text)) is None
    assert MessageOctets(NESTED).section(Section((2,), text)) is not None


@given(st.lists(st.sampled_from([b"Subject: a", b"X: b", b"", b"--o", b"no field", b" folded", b"\r"]), max_size=12))
@settings(max_examples=100)
def test_header_and_text_together_are_the_message(lines: list[bytes]) -> None:
    octets = b"\r\n".join(lines)
    message = MessageOctets(octets)
    header = message.section(Section(text=SectionText.HEADER))
    text = message.section(Section(text=SectionText.TEXT))
    assert isinstance(header, tuple)
    assert isinstance(text, tuple)
    assert octets[slice(*header)] + octets[slice(*text)] == octets
    assert header[1] == parse_parts(octets)[0].body_start


def test_usual_fields_beyond_what_is_kept_are_read_from_the_message() -> None:
    """They once ended the session with SERVERBUG."""

    async def work() -> None:
        world = ImapWorld(MemoryStore())
        await world.account(LOGIN, 0)
        long = b"Subject: " + b"x" * MOST + b"\r\n"
        for header in (b"Subject: short\r\n", long):
            await world.deliver(LOGIN, header + b"X-Other: 1\r\nFrom: ann@example.org\r\n\r\nhello\r\n")
        link = await selected(world)
        for _ in range(2):
            answer = await say(link, b"a FETCH 1:* (UID BODY.PEEK[HEADER.FIELDS (FROM SUBJECT)])")
            assert b"Subject: short\r\nFrom: ann@example.org\r\n\r\n)\r\n" in answer
            assert b"{%d}\r\n" % (len(long) + 25) + long + b"From: ann@example.org\r\n\r\n)\r\na OK" in answer
        world.end()

    asyncio.run(work())
