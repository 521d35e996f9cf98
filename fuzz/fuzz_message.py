"""Whatever a message's octets, its digest is made, its parts nest, and what IMAP would send is balanced outside of strings."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

from postwren.message.digest import digest
from postwren.message.part import parse_parts

SHARED = Path(os.environ.get("POSTWREN_SHARED", Path(__file__).parent.parent.parent / "shared"))
_LITERAL = re.compile(rb"\{(\d+)\}\r\n")
_QUOTED = re.compile(rb'"(?:[^"\\\r\n\0\x80-\xff]|\\["\\])*"')
_BETWEEN = re.compile(rb"[() ]|NIL|\d+")


def SEEDS() -> Iterator[bytes]:  # noqa: N802 (the name every target has)
    yield b"From: a <b@c>\r\nTo: g: d@e;\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nx\r\n--b--\r\n"
    yield b"Subject: Re: [x] =?utf-8?q?=C3=A4?=\r\nContent-Type: message/rfc822\r\n\r\nContent-Type: text/html\r\n\r\n<p>"
    yield from (path.read_bytes() for path in sorted((SHARED / "corpora").rglob("*.eml")) if path.stat().st_size < 20_000)


def balanced(wire: bytes) -> bool:
    depth = at = 0
    while at < len(wire):
        literal = _LITERAL.match(wire, at)
        match = literal or _QUOTED.match(wire, at) or _BETWEEN.match(wire, at)
        assert match, wire[at : at + 40]
        depth += (match[0] == b"(") - (match[0] == b")")
        at = match.end() + (int(literal[1]) if literal else 0)
        assert depth > 0 or at == len(wire)
    return depth == 0


def target(data: bytes) -> None:
    found = digest(data)
    assert balanced(found.envelope)
    assert balanced(found.body)
    assert balanced(found.bodystructure)
    for part in parse_parts(data):
        assert part.header_start <= part.header_end <= part.body_start <= part.body_end <= len(data)
