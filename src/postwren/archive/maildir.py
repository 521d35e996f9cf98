"""Maildir trees with Maildir++ folders (`.Sent.2026` is the mailbox Sent/2026), read and written.

Names of files come from numbers, names of folders from mailbox names with everything unusual percent-encoded: no name
of a mailbox ever becomes a path of its choosing (A-93).
"""

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final
from urllib.parse import quote, unquote

from postwren.archive.item import ArchivedMessage, to_crlf, to_lf
from postwren.terms import INBOX

__all__ = ["folder_name", "holds_maildirs", "is_maildir", "read_maildir", "without_tuid", "write_maildir"]

_LETTERS: Final = {"S": "\\Seen", "R": "\\Answered", "F": "\\Flagged", "T": "\\Deleted", "D": "\\Draft"}
_FLAG_LETTERS: Final = {flag: letter for letter, flag in _LETTERS.items()}
_INFO: Final = re.compile(r":2,([A-Za-z]*)$")
_PARTS: Final = ("cur", "new", "tmp")
_DEEPEST: Final = 20
_OF_MBSYNC: Final = (".mbsyncstate", ".uidvalidity", ".isyncuidmap.db")
_TUID: Final = re.compile(rb"^X-TUID: [A-Za-z0-9+/]{12}\r\n", re.MULTILINE)
_STAMP: Final = re.compile(r"^(\d{9,10})\.")


def is_maildir(path: Path) -> bool:
    """Whether the folder is a Maildir."""
    return (path / "cur").is_dir() and (path / "new").is_dir()


def read_maildir(path: Path, mailbox: str) -> Iterator[ArchivedMessage]:
    """Everything in the Maildir and the Maildirs below it, Maildir++ folders or plain ones; within a folder by date of arrival.
    `mailbox` is the root's."""
    for folder, inner in _folders(path):
        if not inner:
            name = mailbox
        elif inner[0].upper() == INBOX:
            name = "/".join([INBOX, *inner[1:]])
        else:
            name = "/".join(inner if mailbox == INBOX else [mailbox, *inner])
        yield from _read_folder(folder, name)


def holds_maildirs(path: Path) -> bool:
    """Whether the folder is a Maildir, or some are below it."""
    return next(_folders(path), None) is not None


def _folders(path: Path) -> Iterator[tuple[Path, list[str]]]:
    """Every Maildir of the tree with the levels of its name; links are not followed."""
    waiting: list[tuple[Path, list[str]]] = [(path, [])]
    while waiting:
        folder, levels = waiting.pop()
        if is_maildir(folder):
            yield folder, levels
        inner = [Path(entry.path) for entry in os.scandir(folder) if entry.is_dir(follow_symlinks=False)]
        for below in sorted(inner, reverse=True):
            if below.name.startswith(".") and is_maildir(below):
                waiting.append((below, levels + [unquote(part) for part in below.name[1:].split(".")]))
            elif not below.name.startswith(".") and below.name not in _PARTS and len(levels) < _DEEPEST:
                waiting.append((below, [*levels, below.name]))


def _read_folder(folder: Path, mailbox: str) -> Iterator[ArchivedMessage]:
    names = [(_arrival(entry), entry.path) for part in ("cur", "new") for entry in os.scandir(folder / part) if entry.is_file()]
    is_of_mbsync = any((folder / name).exists() for name in _OF_MBSYNC)
    for arrival, name in sorted(names):
        found = _INFO.search(name)
        flags = frozenset(_LETTERS[letter] for letter in (found[1] if found else "") if letter in _LETTERS)
        octets = to_crlf(Path(name).read_bytes())
        yield ArchivedMessage(mailbox, without_tuid(octets) if is_of_mbsync else octets, flags, arrival, name)


def without_tuid(octets: bytes) -> bytes:
    """Without the one line that mbsync adds to the header of what it copies; a header that holds several is left as it is."""
    end = octets.find(b"\r\n\r\n")
    header = octets if end < 0 else octets[: end + 2]
    found = _TUID.findall(header)
    return octets.replace(found[0], b"", 1) if len(found) == 1 and _at_line(octets, found[0]) else octets


def _at_line(octets: bytes, line: bytes) -> bool:
    at = octets.find(line)
    return at == 0 or octets[at - 1 : at] == b"\n"


def _arrival(entry: os.DirEntry[str]) -> int:
    found = _STAMP.match(entry.name)
    return int(found[1]) if found else int(entry.stat().st_mtime)


def folder_name(mailbox: str) -> str:
    """The Maildir++ folder of a mailbox; "" for INBOX."""
    if mailbox == INBOX:
        return ""
    return "." + ".".join(quote(part, safe=" ").replace(".", "%2E") for part in mailbox.split("/"))


def write_maildir(path: Path, messages: Iterable[ArchivedMessage]) -> int:
    """Write messages, each a new file, synced; returns how many. The caller keeps other writers away."""
    made: set[Path] = set()
    count = 0
    for message in messages:
        folder = path / folder_name(message.mailbox)
        if folder not in made:
            for part in ("tmp", "new", "cur"):
                (folder / part).mkdir(parents=True, exist_ok=True)
            if folder != path:
                (folder / "maildirfolder").touch()
            made.add(folder)
        letters = "".join(sorted(_FLAG_LETTERS[flag] for flag in message.flags if flag in _FLAG_LETTERS))
        count += 1
        name = f"{message.internaldate}.{os.getpid()}_{count}.postwren"
        _write_file(folder, name, f":2,{letters}", to_lf(message.octets), message.internaldate)
    for folder in made:
        _sync_folder(folder / "cur")
    return count


def _write_file(folder: Path, name: str, info: str, octets: bytes, stamp: int) -> None:
    draft = folder / "tmp" / name
    with draft.open("xb") as file:
        file.write(octets)
        file.flush()
        os.fsync(file.fileno())
    os.utime(draft, (stamp, stamp))
    draft.rename(folder / "cur" / (name + info))


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
