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
without; \r \n \t \\ and \xHH are escapes in both, and `{x*70000}` is so many x; consecutive C steps go out together
(pipelining). `{#}`, `{#+}` and
`~{#}` at the end of a C line become the size of the next `C|` step (a literal). `S:` expects one answer, where `{}` stands
for any text; an `S:` line that ends in ` {}` matches without it too. What an answer is, and what else is free in it, is the
grammar's: a line (`pattern.LINES`), or an IMAP response with its literals (`imapanswer.IMAP`).

`S~` expects an answer too; adjacent `S~` steps may be answered in any order. `S*` skips answers until the next S step
matches; in a group of `S~` steps it allows others among them. `S!` names an answer that must not come before this session
speaks again. `S- 1,3` expects that exactly these messages, by the numbers they had before the first one went, are expunged.

`{v=}` keeps what stands there as v, `{v}` is that in later steps of either side, `{v+1}` and `{v-1}` count from it,
`{w>v}` keeps a number above v (`{>v}` only compares), `{a|b}` is one or the other.

`close` expects that the server closes, `silence` that it says nothing more, `eof` closes our side, `tls` expects that TLS
is on (a loopback link plays it). `! words` is something that happens elsewhere (the runner's). A digit behind the letter or
word is another connection, opened when it is first named: `C2:`, `S2~`, `close2`; without it is 1. `#` is a comment: cite
the RFC section there. `Case.cites` is the citation above the first step of a case, or else the last one between cases.
"""

import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from postwren.testing.pattern import unescape

__all__ = ["Case", "Cut", "Step", "count_literals", "cut_bytes", "cut_randomly", "cut_whole", "read_cases", "read_step"]

Cut = Callable[[bytes], Iterator[bytes]]
_STEP: Final = re.compile(r"(C|S|close|silence|eof|tls|!)([2-9]?)([:|~*!-]?)(?:\s(.*))?")
_KINDS: Final = {"S:": "S", "S~": "any", "S*": "skip", "S!": "never", "S-": "gone", "C:": "C", "C|": "C", "!": "deed"}
_REPEATED: Final = re.compile(rb"\{([^{}])\*(\d+)\}")
_COUNTED: Final = re.compile(rb"\{#([+-]?)\}\r\n\Z")


@dataclass(frozen=True, slots=True)
class Step:
    """One line of a dialogue: kind is C, S, any, skip, never, gone, deed, close, silence, eof or tls."""

    kind: str
    data: bytes
    line: int
    session: int = 1


@dataclass(slots=True)
class Case:
    """One dialogue. `stage` has the words of each `@` line, `scenes` the same lines as they were written."""

    name: str
    file: str
    cites: str = ""
    stage: list[list[str]] = field(default_factory=list)
    scenes: list[str] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)


def read_cases(path: Path) -> list[Case]:
    """All cases of a script file."""
    cases: list[Case] = []
    cites = ""
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if line.startswith("=== "):
            cases.append(Case(line[4:].strip(), path.name, cites))
        elif line.startswith("#"):
            if "RFC" not in line:
                continue
            if cases and not cases[-1].steps:
                cases[-1].cites = line[1:].strip()
            else:
                cites = line[1:].strip()
        elif line.startswith("@"):
            cases[-1].stage.append(line[1:].split())
            cases[-1].scenes.append(line[1:].strip())
        elif line.strip():
            cases[-1].steps.append(read_step(line, number, path.name))
    for case in cases:
        count_literals(case.steps)
    return cases


def read_step(line: str, number: int = 0, file: str = "") -> Step:
    """One step from its line; ValueError where it is none."""
    found = _STEP.fullmatch(line.rstrip("\r\n"))
    word, mark = (found[1], found[3]) if found else ("", "")
    kind = _KINDS.get(word + mark, word if word in ("close", "silence", "eof", "tls") and not mark else "")
    if found is None or not kind:
        raise ValueError(f"{file}:{number}: not a step: {line!r}")
    data = (found[4] or "").encode()
    if kind == "C":
        data = _REPEATED.sub(lambda found: found[1] * int(found[2]), unescape(data)) + (b"\r\n" if mark == ":" else b"")
    return Step(kind, data, number, int(found[2] or 1))


def count_literals(steps: list[Step]) -> None:
    """`{#}` becomes the size of the next C step of that session."""
    for place, step in enumerate(steps):
        if step.kind == "C" and (found := _COUNTED.search(step.data)):
            literal = next(other.data for other in steps[place + 1 :] if (other.kind, other.session) == ("C", step.session))
            size = b"{%d%s}\r\n" % (len(literal), found[1])
            steps[place] = Step("C", step.data[: found.start()] + size, step.line, step.session)


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
