"""The dialogue runner itself: it must see a wrong answer."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from postwren.testing.imapanswer import IMAP
from postwren.testing.loopback import LoopbackLink
from postwren.testing.play import ScriptMismatch, Wire, play
from postwren.testing.script import Case, count_literals, cut_bytes, cut_randomly, cut_whole, read_cases, read_step
from postwren.transport.session import Handled, LinkControl, TlsInfo
from postwren.wire.buffer import ReceiveBuffer
from postwren.wire.core import NEED_DATA, Output, Waiting


class EchoCore:
    """Answers every line with itself."""

    waiting_for = Waiting.COMMAND

    def __init__(self) -> None:
        self.buffer = ReceiveBuffer()
        self.out: list[Output] = []

    def receive_data(self, data: bytes) -> None:
        self.buffer.feed(data)

    def next_event(self) -> Any:
        line = self.buffer.line(100)
        return NEED_DATA if line is None else line

    def data_to_send(self) -> list[Output]:
        out, self.out = self.out, []
        return out


class EchoSession:
    def __init__(self) -> None:
        self.core = EchoCore()

    def opened(self, link: LinkControl) -> Handled:
        self.link = link
        self.core.out.append(b"hello\r\n")
        return None

    def handle(self, event: Any) -> Handled:
        self.core.out.append(event + b"\n")
        if event == b"bye\r":
            self.link.close()
        return None

    def tls_started(self, tls: TlsInfo) -> Handled:
        return None

    def timed_out(self) -> None: ...
    def server_ends(self) -> None: ...
    def failed(self, error: BaseException) -> None: ...
    def closed(self) -> None: ...


DIALOGUE = """
=== echo
S: hello
C: one
C| tw
C: o \\x41
S: one
S: two A
C: three
C: bye
S*
S: b{}
close
"""


async def _play(cut: Any, text: str, tmp_path: Path) -> None:
    path = tmp_path / "echo.script"
    path.write_text(text)
    for case in read_cases(path):
        await play(case, LoopbackLink(EchoSession()), cut)


@pytest.mark.parametrize("cut", [cut_whole, cut_bytes, cut_randomly(3)])
def test_a_true_dialogue_passes(cut: Any, tmp_path: Path) -> None:
    asyncio.run(_play(cut, DIALOGUE, tmp_path))


@pytest.mark.parametrize("change", [("S: one", "S: won"), ("close", "silence\nS: more"), ("C: bye", "C: stay")])
def test_a_false_dialogue_fails(change: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("postwren.testing.play.PATIENCE", 0.01)
    with pytest.raises(ScriptMismatch):
        asyncio.run(_play(cut_whole, DIALOGUE.replace(*change), tmp_path))


# -- the rest of the language, with a server whose answers are written down


class Wired:
    """Says what it is told to, after each send."""

    def __init__(self, *answers: bytes) -> None:
        self.answers = [b"* OK hello\r\n", *answers]
        self.sent: list[bytes] = []

    async def send(self, pieces: Iterator[bytes]) -> None:
        self.sent.append(b"".join(pieces))

    async def hear(self, expected: bool) -> bytes:
        return self.answers.pop(0) if self.answers else b""

    async def closes(self) -> bool:
        return not self.answers

    async def has_tls(self) -> bool:
        return False


def talk(script: str, *wires: Wired, deeds: list[str] | None = None) -> None:
    async def deed(text: str) -> None:
        assert deeds is not None
        deeds.append(text)

    async def connect(number: int) -> Wire:
        return wires[number - 1]

    case = Case("talk", "talk.script", steps=[read_step(line) for line in script.strip().splitlines()])
    count_literals(case.steps)
    asyncio.run(play(case, connect, cut_whole, IMAP, deed))


def test_two_sessions_share_names() -> None:
    first, second = Wired(b"* OK [UIDNEXT 7] x\r\n"), Wired(b"a OK\r\n")
    talk("S: * OK {}\nC: a NOOP\nS: * OK [UIDNEXT {u=}] {}\nS2: * OK {}\nC2: b FETCH {u-1}:{u+1}\nS2: a OK {}", first, second)
    assert second.sent == [b"b FETCH 6:8\r\n"]


def test_a_literal_is_counted() -> None:
    wire = Wired(b"a OK\r\n")
    talk("S: * OK {}\nC: a APPEND x {#+}\nC| one\\r\\ntwo\nC:\nS: a OK {}", wire)
    assert wire.sent == [b"a APPEND x {8+}\r\none\r\ntwo\r\n"]


def test_a_repeated_octet() -> None:
    assert read_step("C| a{x*3}b {5}").data == b"axxxb {5}"


GROUP = "S: * OK {}\nC: a X\nS~ * 1 EXISTS\nS~ * 2 EXPUNGE\nS: a OK {}"


@pytest.mark.parametrize(
    "said", [b"* 1 EXISTS\r\n* 2 EXPUNGE\r\na OK\r\n", b"* 2 EXPUNGE\r\n* 0 RECENT\r\n* 1 EXISTS\r\na OK\r\n"]
)
def test_a_group_comes_in_any_order(said: bytes) -> None:
    talk(GROUP, Wired(said))


@pytest.mark.parametrize(
    "said",
    [b"* 1 EXISTS\r\na OK\r\n", b"* 1 EXISTS\r\n* 3 EXISTS\r\n* 2 EXPUNGE\r\na OK\r\n", b"* 1 EXISTS\r\n* 1 EXISTS\r\na OK\r\n"],
)
def test_a_group_is_whole_and_alone(said: bytes) -> None:
    with pytest.raises(ScriptMismatch):
        talk(GROUP, Wired(said))


def test_a_group_with_others_allowed_is_still_whole() -> None:
    script = GROUP.replace("S: a OK", "S*\nS: a OK")
    talk(script, Wired(b"* 1 EXISTS\r\n* 3 EXISTS\r\n* 2 EXPUNGE\r\n* 4 EXISTS\r\na OK\r\n"))
    with pytest.raises(ScriptMismatch):
        talk(script, Wired(b"* 1 EXISTS\r\na OK\r\n* 2 EXPUNGE\r\n"))


def test_a_tagged_answer_is_never_skipped() -> None:
    with pytest.raises(ScriptMismatch):
        talk("S: * OK {}\nC: a X\nS*\nS: a OK {}", Wired(b"a NO\r\na OK\r\n"))


def test_what_must_not_come() -> None:
    script = "S: * OK {}\nC: a X\nS! * {} EXPUNGE\nS*\nS: a OK {}\nC: b X\nS: * 2 EXPUNGE"
    talk(script, Wired(b"* 1 EXISTS\r\na OK\r\n", b"* 2 EXPUNGE\r\n"))
    with pytest.raises(ScriptMismatch):
        talk(script, Wired(b"* 1 EXPUNGE\r\na OK\r\n"))


@pytest.mark.parametrize("order", [(2, 3, 3), (5, 4, 2), (4, 2, 3)])
def test_expunged_messages_count_in_every_order(order: tuple[int, int, int]) -> None:
    talk("S: * OK {}\nC: a X\nS- 2,4,5\nS: a OK {}", Wired(b"".join(b"* %d EXPUNGE\r\n" % n for n in order) + b"a OK\r\n"))


@pytest.mark.parametrize("order", [(2, 3, 4), (2, 2, 3), (5, 4), (5, 4, 2, 1)])
def test_other_expunged_messages_are_seen(order: tuple[int, ...]) -> None:
    with pytest.raises(ScriptMismatch):
        talk("S: * OK {}\nC: a X\nS- 2,4,5\nS: a OK {}", Wired(b"".join(b"* %d EXPUNGE\r\n" % n for n in order) + b"a OK\r\n"))


def test_deeds_happen_in_the_middle() -> None:
    deeds: list[str] = []
    wire = Wired(b"* OK [UIDNEXT 7] x\r\n")
    talk("S: * OK {}\nC: a X\nS: * OK [UIDNEXT {u=}] {}\n! deliver ann {u}", wire, deeds=deeds)
    assert deeds == ["deliver ann 7"]


@pytest.mark.parametrize("line", ["X: a", "S? a", "close:", "C0: a", "S", "silent"])
def test_what_is_no_step(line: str) -> None:
    with pytest.raises(ValueError, match="not a step"):
        read_step(line)


def test_a_case_knows_what_it_cites(tmp_path: Path) -> None:
    path = tmp_path / "x.script"
    path.write_text(
        "# RFC 1 section 1\n=== one\nS: a\n=== two\n# RFC 2 section 2\nS: a\n=== three\nS: a\n# RFC 3\n\n=== four\nS: a\n"
    )
    assert [case.cites for case in read_cases(path)] == ["RFC 1 section 1", "RFC 2 section 2", "RFC 1 section 1", "RFC 3"]
