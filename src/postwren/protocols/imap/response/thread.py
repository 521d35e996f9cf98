"""THREAD (RFC 5256 section 4). Threads are flat here: a row a message in preorder, so that neither a thread of 100,000 replies
nor one who sends such a thread needs a stack."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from postwren.protocols.imap.fault import Unparsable
from postwren.protocols.imap.reader import Reader

__all__ = ["ThreadResult", "ThreadRow", "format_thread", "parse_thread"]

ThreadRow: TypeAlias = tuple[int, int]
"""(depth, number): a row of depth 0 begins a thread, the children of a row follow it one deeper. Number 0 stands for a parent
that is missing; it has two children at least."""


@dataclass(frozen=True, slots=True)
class ThreadResult:
    rows: Sequence[ThreadRow]


def format_thread(response: ThreadResult, is_utf8: bool) -> bytes:  # noqa: ARG001
    """thread-data. A child alone continues its parent's list, of several each is a list of its own."""
    rows = response.rows
    is_only = _only_children(rows)
    pieces: list[str] = []
    open_at: list[int] = []  # depths of the rows that opened a parenthesis, and have not closed it
    is_behind = False  # a number stands directly before
    for row, (depth, number) in enumerate(rows):
        while open_at and open_at[-1] >= depth:
            open_at.pop()
            pieces.append(")")
            is_behind = False
        if is_only[row]:
            pieces.append(" " if is_behind else "")
        else:
            pieces.append(" (" if is_behind else "(")
            open_at.append(depth)
        pieces.append(str(number) if number else "")
        is_behind = number != 0
    pieces.append(")" * len(open_at))
    text = "".join(pieces)
    return b"* THREAD %b\r\n" % text.encode() if text else b"* THREAD\r\n"


def _only_children(rows: Sequence[ThreadRow]) -> list[bool]:
    """Whether each row is the one child of its parent; roots are not."""
    only = [depth > 0 for depth, _ in rows]
    first: list[int] = []  # of each depth on the way to here, the first row among these siblings
    for row, (depth, _) in enumerate(rows):
        if depth < len(first):
            only[first[depth]] = only[row] = False
            del first[depth + 1 :]
        else:
            first.append(row)
    return only


_TOKEN: Final = re.compile(rb"(\()|(\))|([0-9]{1,10})| ")


def parse_thread(reader: Reader) -> ThreadResult:
    """thread-data, behind the word. As deep as it comes, in a loop."""
    rows: list[ThreadRow] = []
    depths: list[int] = []  # of each list that is open, its own first depth
    depth = 0
    was_opened = False
    while match := _TOKEN.match(reader.text, reader.position):
        reader.position = match.end()
        kind = match.lastindex
        if kind == 1:
            if was_opened:  # a list that begins with a list: the parent is missing
                rows.append((depth, 0))
                depth += 1
            depths.append(depth)
        elif kind == 2:
            if not depths:
                raise Unparsable
            depth = depths.pop()
        elif kind == 3:
            if not depths:
                raise Unparsable
            rows.append((depth, int(match[3])))
            depth += 1
        was_opened = kind == 1 or (was_opened and kind is None)
    if depths or not reader.is_ended():
        raise Unparsable
    return ThreadResult(tuple(rows))
