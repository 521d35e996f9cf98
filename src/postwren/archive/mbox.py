"""mbox files, read and written as "mboxrd": a line that begins with "From ", or with any number of `>` before it, gets one
`>` more, so that reading gives back the very octets (RFC 4155 describes the family). Status and X-Status fields give flags
and stay in the message.

Reading streams: memory holds one message at a time.
"""

import calendar
import re
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, Final

from postwren.archive.item import ArchivedMessage, to_crlf, to_lf

__all__ = ["is_mbox", "read_mbox", "write_mbox"]

_QUOTED: Final = re.compile(rb"^>(>*From )", re.M)
_TO_QUOTE: Final = re.compile(rb"^(>*From )", re.M)
_STATUS: Final = re.compile(rb"^(?:X-)?Status:[ \t]*([A-Za-z]*)", re.M | re.I)
_STATUS_FLAGS: Final = {"R": "\\Seen", "A": "\\Answered", "F": "\\Flagged", "D": "\\Deleted", "T": "\\Draft"}


def is_mbox(path: Path) -> bool:
    """Whether the file begins as an mbox does."""
    with path.open("rb") as file:
        return file.read(5) == b"From "


def read_mbox(path: Path, mailbox: str) -> Iterator[ArchivedMessage]:
    """The messages of one file, in order."""
    with path.open("rb") as file:
        for number, (separator, octets) in enumerate(_split(file), 1):
            head = octets.partition(b"\n\n")[0][: 1 << 16]
            flags = frozenset(
                _STATUS_FLAGS[letter]
                for letters in _STATUS.findall(head)
                for letter in letters.decode("ascii").upper()
                if letter in _STATUS_FLAGS
            )
            text = _QUOTED.sub(rb"\1", octets) if b"\n>" in octets or octets[:1] == b">" else octets
            yield ArchivedMessage(mailbox, to_crlf(text), flags, _date(separator), f"{path}, message {number}")


def write_mbox(file: BinaryIO, messages: Iterable[ArchivedMessage]) -> int:
    """Append messages to an open file; returns how many."""
    count = 0
    for message in messages:
        stamp = time.strftime("%a %b %d %H:%M:%S %Y", time.gmtime(message.internaldate))
        octets = _TO_QUOTE.sub(rb">\1", to_lf(message.octets))
        end = b"\n" if octets.endswith(b"\n") else b"\n\n"
        file.write(b"From postwren " + stamp.encode() + b"\n" + octets + end)
        count += 1
    return count


def _split(file: BinaryIO) -> Iterator[tuple[bytes, bytes]]:
    """(separator line, octets) of each message; the empty line before a separator is the separator's."""
    lines: list[bytes] = []
    separator, after_empty = b"", True
    for line in file:
        if after_empty and line.startswith(b"From "):
            if separator:
                yield separator, _joined(lines)
            separator, lines = line, []
        else:
            lines.append(line)
        after_empty = line in (b"\n", b"\r\n")
    if separator:
        yield separator, _joined(lines)


def _joined(lines: list[bytes]) -> bytes:
    if lines and lines[-1] in (b"\n", b"\r\n"):
        lines.pop()
    return b"".join(lines)


def _date(separator: bytes) -> int:
    words = separator.split()[-5:]
    for form in ("%a %b %d %H:%M:%S %Y", "%a %b %d %H:%M %Y"):
        try:
            return calendar.timegm(time.strptime(b" ".join(words).decode("ascii"), form))
        except (ValueError, UnicodeDecodeError):
            continue
    return 0
