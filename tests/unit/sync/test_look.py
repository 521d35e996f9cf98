"""What a server says since a checkpoint: the same by QRESYNC, CONDSTORE and neither; and servers that lie (D-70, A-92)."""

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from postwren.client.conversation import Security
from postwren.client.imap import ImapClient
from postwren.protocols.imap.command import Enable
from postwren.sync.look import Abilities, Checkpoint, Known, Look, look
from postwren.wire.secret import Secret

CAPABILITIES = {
    "qresync": "IMAP4rev1 ENABLE CONDSTORE QRESYNC UIDPLUS",
    "condstore": "IMAP4rev1 ENABLE CONDSTORE UIDPLUS",
    "plain": "IMAP4rev1",
}


@dataclass
class Server:
    """One mailbox. `bend` may change a line before it is said; None leaves it out."""

    capabilities: str
    messages: dict[int, tuple[str, int]] = field(default_factory=dict)  # UID -> flags, MODSEQ
    vanished: dict[int, int] = field(default_factory=dict)
    uidvalidity: int = 7
    uidnext: int = 1
    modseq: int = 1
    bend: Callable[[str], str | None] = lambda line: line
    heard: list[str] = field(default_factory=list)

    def add(self, flags: str = "") -> None:
        self.modseq += 1
        self.messages[self.uidnext] = flags, self.modseq
        self.uidnext += 1

    def change(self, uid: int, flags: str) -> None:
        self.modseq += 1
        self.messages[uid] = flags, self.modseq

    def expunge(self, uid: int) -> None:
        self.modseq += 1
        del self.messages[uid]
        self.vanished[uid] = self.modseq

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(f"* OK [CAPABILITY {self.capabilities}] ready\r\n".encode())
        while line := (await reader.readline()).decode():
            tag, _, command = line.strip().partition(" ")
            self.heard.append(command)
            answers = [bent for said in self._answers(command) if (bent := self.bend(said)) is not None]
            writer.write("".join(f"{said}\r\n" for said in [*answers, f"{tag} OK done"]).encode())
        writer.close()

    def _answers(self, command: str) -> list[str]:
        if command == "CAPABILITY":
            return [f"* CAPABILITY {self.capabilities}"]
        if command.startswith("SELECT"):
            return self._selected(command)
        asked = re.fullmatch(r"UID FETCH (\S+) (\(.*?\)|\w+)(?: \(CHANGEDSINCE (\d+)\))?", command)
        return [] if asked is None else self._fetched(asked[1], asked[2], int(asked[3] or 0))

    def _selected(self, command: str) -> list[str]:
        said = [f"* {len(self.messages)} EXISTS", f"* OK [UIDVALIDITY {self.uidvalidity}] x", f"* OK [UIDNEXT {self.uidnext}] x"]
        if "CONDSTORE" in self.capabilities:
            said.append(f"* OK [HIGHESTMODSEQ {self.modseq}] x")
        if (known := re.search(r"QRESYNC \((\d+) (\d+)", command)) and int(known[1]) == self.uidvalidity:
            said += [f"* VANISHED (EARLIER) {uid}" for uid, modseq in self.vanished.items() if modseq > int(known[2])]
            said += self._fetched("1:*", "(UID FLAGS)", int(known[2]))
        return said

    def _fetched(self, numbers: str, items: str, since: int) -> list[str]:
        said = []
        for seqnum, (uid, (flags, modseq)) in enumerate(self.messages.items(), 1):
            if modseq > since and any(_is_in(uid, part, self.uidnext - 1) for part in numbers.split(",")):
                told = (
                    [f"UID {uid}"] + [f"FLAGS ({flags})"] * ("FLAGS" in items) + [f"RFC822.SIZE {uid * 10}"] * ("SIZE" in items)
                )
                said.append(f"* {seqnum} FETCH ({' '.join(told)})")
        return said


def _is_in(uid: int, part: str, last: int) -> bool:
    ends = [last if end == "*" else int(end) for end in part.split(":")]
    return min(ends) <= uid <= max(ends)


def looked(server: Server, since: Checkpoint | None, known: set[int]) -> Look:
    async def work() -> Look:
        listener = await asyncio.start_server(server, "127.0.0.1", 0)
        async with (
            listener,
            asyncio.timeout(20),
            ImapClient("127.0.0.1", listener.sockets[0].getsockname()[1], security=Security.NONE) as client,
        ):
            await client.login("ann", Secret("secret"))
            abilities = Abilities.of(await client.capabilities())
            if abilities.qresync:
                await client.run(Enable(("QRESYNC",)))
            server.heard.clear()
            return await look(client, abilities, "INBOX", since, Known(len(known), lambda: sorted(known)))

    return asyncio.run(work())


@pytest.fixture(params=list(CAPABILITIES))
def server(request: pytest.FixtureRequest) -> Server:
    server = Server(CAPABILITIES[request.param])
    for flags in ("", "\\Seen", "a b", "", "", ""):
        server.add(flags)
    return server


def checkpoint(server: Server) -> Checkpoint:
    return Checkpoint(server.uidvalidity, server.uidnext, server.modseq if "CONDSTORE" in server.capabilities else 0)


def test_the_first_look_sees_everything_as_new(server: Server) -> None:
    seen = looked(server, None, set())
    assert {uid: (new.flags, new.size) for uid, new in seen.new.items()} == {
        uid: (frozenset(flags.split()), uid * 10) for uid, (flags, _) in server.messages.items()
    }
    assert (seen.checkpoint, seen.gone, seen.changed) == (checkpoint(server), set(), {})


def test_every_kind_of_difference_is_seen_by_every_kind_of_server(server: Server) -> None:
    since, known = checkpoint(server), set(server.messages)
    server.change(2, "\\Seen \\Flagged")
    server.expunge(3)
    server.add("x")
    server.add()
    server.expunge(7)  # came and went
    seen = looked(server, since, known)
    assert seen.changed[2] == {"\\Seen", "\\Flagged"}
    assert (seen.gone, set(seen.new), seen.checkpoint, seen.exists) == ({3}, {8}, checkpoint(server), 6)


def test_nothing_new_takes_one_breath_and_no_list(server: Server) -> None:
    seen = looked(server, checkpoint(server), set(server.messages))
    assert (seen.gone, seen.new, seen.exists) == (set(), {}, 6)
    if "CONDSTORE" in server.capabilities:
        assert (seen.changed, seen.was_listed) == ({}, False)
    assert len(server.heard) == (2 if "QRESYNC" in server.capabilities else 3)


def test_another_uidvalidity_makes_everything_new_and_nothing_gone(server: Server) -> None:
    since = checkpoint(server)
    server.uidvalidity += 1
    server.expunge(3)
    seen = looked(server, since, {1, 2, 3, 4, 5, 6})
    assert (seen.is_new_epoch, seen.gone, seen.changed, set(seen.new)) == (True, set(), {}, {1, 2, 4, 5, 6})


def liar(bend: Callable[[str], str | None], kind: str = "qresync") -> Server:
    server = Server(CAPABILITIES[kind], bend=bend)
    for _ in range(6):
        server.add()
    return server


def test_a92_a_false_vanished_is_found_out_by_the_count() -> None:
    server = liar(lambda line: line)
    since = checkpoint(server)
    server.vanished = {2: 99, 3: 99}
    server.modseq = 99
    seen = looked(server, since, set(server.messages))
    assert (seen.gone, seen.was_listed) == (set(), True)


def test_a92_a_false_vanished_with_a_count_to_match_is_found_out_by_asking() -> None:
    server = liar(lambda line: line.replace("6 EXISTS", "4 EXISTS"))
    since = checkpoint(server)
    server.vanished = {2: 99, 3: 99}
    server.modseq = 99
    assert looked(server, since, set(server.messages)).gone == set()


def test_a92_vanished_that_was_left_out_is_found_out_by_the_count() -> None:
    server = liar(lambda line: None if "VANISHED" in line else line)
    since, known = checkpoint(server), set(server.messages)
    server.expunge(5)
    assert looked(server, since, known).gone == {5}


@pytest.mark.parametrize("kind", ["qresync", "condstore"])
def test_a92_counters_that_fall_make_us_list(kind: str) -> None:
    server = liar(lambda line: line, kind)
    since = checkpoint(server)._replace(highestmodseq=1000)
    server.change(2, "x")
    seen = looked(server, since, set(server.messages))
    assert (seen.was_listed, seen.gone) == (True, set())
    assert seen.changed[2] == {"x"}


def test_a_uidnext_that_fell_hides_no_message(server: Server) -> None:
    since = checkpoint(server)._replace(uidnext=40)
    seen = looked(server, since, {1, 2, 3, 4})
    assert (set(seen.new), seen.gone) == ({5, 6}, set())


def test_a_mailbox_that_counts_no_changes_any_more_is_listed() -> None:
    server = liar(lambda line: None if "HIGHESTMODSEQ" in line else line)
    since, known = checkpoint(server), set(server.messages)
    server.expunge(1)
    seen = looked(server, since, known)
    assert (seen.was_listed, seen.gone) == (True, {1})


def test_what_was_sent_from_here_is_paired_already_and_not_new(server: Server) -> None:
    since, known = checkpoint(server), set(server.messages)
    server.add("x")
    server.add("y")
    seen = looked(server, since, known | {8})
    assert (set(seen.new), seen.gone) == ({7}, set())
    assert seen.changed[8] == {"y"}
    if "CONDSTORE" in server.capabilities:
        assert not seen.was_listed
