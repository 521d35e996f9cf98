"""The dialogue runner itself: it must see a wrong answer."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from postwren.testing.loopback import LoopbackLink
from postwren.testing.play import ScriptMismatch, play
from postwren.testing.script import cut_bytes, cut_randomly, cut_whole, read_cases
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
def test_a_false_dialogue_fails(change: tuple[str, str], tmp_path: Path) -> None:
    with pytest.raises(ScriptMismatch):
        asyncio.run(_play(cut_whole, DIALOGUE.replace(*change), tmp_path))
