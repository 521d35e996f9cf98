r"""Protocol dialogues: a test one can read aloud, the same against our sessions and against other servers.

    === STAT counts the messages
    @ account ann@example.org secret
    S: +OK {}
    C: USER ann@example.org
    C: PASS secret
    S: +OK
    S: +OK {}
    C: QUIT
    S: +OK {}
    close

`===` opens a case; `@ words` set the stage (what they mean is the runner's). `C:` sends a line with CRLF, `C|` sends
without; \r \n \t \\ and \xHH are escapes in both; consecutive C steps go out together (pipelining). `S:` expects one line,
where `{}` stands for any text; an `S:` line that ends in ` {}` matches without it too. `S*` skips lines until the next S
step matches. `close` expects that the server closes, `silence` that it says nothing more, `eof` closes our side, `tls`
expects that TLS is on (a loopback link plays it). `#` is a comment: cite the RFC section there.
"""

import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from postwren.testing.loopback import LoopbackLink

__all__ = ["Case", "Cut", "ScriptMismatch", "Step", "cut_bytes", "cut_randomly", "cut_whole", "play", "read_cases"]

Cut = Callable[[bytes], Iterator[bytes]]


@dataclass(frozen=True, slots=True)
class Step:
    """One line of a dialogue: kind is C, S, skip, close, silence, eof or tls."""

    kind: str
    data: bytes
    line: int


@dataclass(slots=True)
class Case:
    """One dialogue."""

    name: str
    file: str
    stage: list[list[str]] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)


class ScriptMismatch(AssertionError):
    """The server said something else."""


def read_cases(path: Path) -> list[Case]:
    """All cases of a script file."""
    cases: list[Case] = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if line.startswith("=== "):
            cases.append(Case(line[4:].strip(), path.name))
        elif not line.strip() or line.startswith("#"):
            continue
        elif line.startswith("@"):
            cases[-1].stage.append(line[1:].split())
        else:
            cases[-1].steps.append(_step(line, number, path))
    return cases


def _step(line: str, number: int, path: Path) -> Step:
    if line[:2] in ("C:", "C|"):
        data = _unescape(line[3:])
        return Step("C", data + b"\r\n" if line[1] == ":" else data, number)
    if line[:2] == "S:":
        return Step("S", line[3:].encode(), number)
    if line[:2] == "S*":
        return Step("skip", b"", number)
    if line.strip() in ("close", "silence", "eof", "tls"):
        return Step(line.strip(), b"", number)
    raise ValueError(f"{path}:{number}: not a step: {line!r}")


def _unescape(text: str) -> bytes:
    short = {b"r": b"\r", b"n": b"\n", b"t": b"\t", b"\\": b"\\"}

    def replace(found: re.Match[bytes]) -> bytes:
        word = found[1]
        return short.get(word) or bytes([int(word[1:], 16)])

    return re.sub(rb"\\(x[0-9a-fA-F]{2}|[rnt\\])", replace, text.encode())


def cut_whole(data: bytes) -> Iterator[bytes]:
    """Everything in one read."""
    yield data


def cut_bytes(data: bytes) -> Iterator[bytes]:
    """One octet a read."""
    return (data[i : i + 1] for i in range(len(data)))


def cut_randomly(seed: int) -> Cut:
    """Reads of random length; the same seed cuts alike."""

    def cut(data: bytes) -> Iterator[bytes]:
        rnd = random.Random(seed)  # noqa: S311
        start = 0
        while start < len(data):
            end = start + rnd.randint(1, 12)
            yield data[start:end]
            start = end

    return cut


async def play(case: Case, link: LoopbackLink, cut: Cut) -> None:
    """Play a dialogue over a loopback link; raises ScriptMismatch with the whole dialogue so far."""
    await link.settled()
    said: list[str] = []
    heard = link.take()
    skipping = False
    steps = iter([*case.steps, Step("end", b"", 0)])
    step = next(steps)
    while step.kind != "end":
        if step.kind == "C":
            data = b""
            while step.kind == "C":
                data += step.data
                said.append(f"C: {step.data!r}")
                step = next(steps)
            for piece in cut(data):
                link.receive(piece)
                await link.settled()
            heard += link.take()
            continue
        heard = _expect(case, step, link, heard, said, skipping)
        skipping = step.kind == "skip"
        if step.kind == "eof":
            link.receive(b"")
            await link.settled()
            heard += link.take()
        step = next(steps)
    if link.bugs:
        raise link.bugs[0]


def _expect(case: Case, step: Step, link: LoopbackLink, heard: bytes, said: list[str], skipping: bool) -> bytes:
    def mismatch(why: str) -> ScriptMismatch:
        dialogue = "\n  ".join(said)
        return ScriptMismatch(f"{case.file}:{step.line} ({case.name}): {why}\n  {dialogue}\n  then: {heard!r}")

    if step.kind == "S":
        while True:
            line, end, rest = heard.partition(b"\r\n")
            if not end:
                raise mismatch(f"expected {step.data!r}")
            said.append(f"S: {line!r}")
            heard = rest
            if _matches(step.data, line):
                return heard
            if not skipping:
                raise mismatch(f"expected {step.data!r}, got {line!r}")
    if step.kind == "close" and not (link.is_closed and not heard):
        raise mismatch("expected that the server closes")
    if step.kind == "silence" and heard:
        raise mismatch("expected silence")
    if step.kind == "tls" and link.tls is None:
        raise mismatch("expected TLS")
    return heard


def _matches(pattern: bytes, line: bytes) -> bool:
    expression = b".*".join(re.escape(part) for part in pattern.split(b"{}"))
    return re.fullmatch(expression, line, re.DOTALL) is not None or (pattern.endswith(b" {}") and _matches(pattern[:-3], line))
