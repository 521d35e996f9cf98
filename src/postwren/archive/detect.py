"""What kind of archive a path is, and how to read it."""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

from postwren.archive.item import ArchivedMessage, to_crlf
from postwren.archive.maildir import holds_maildirs, read_maildir
from postwren.archive.mbox import is_mbox, read_mbox

__all__ = ["ArchiveError", "read_archive"]


class ArchiveError(Exception):
    """The path is no archive; the text says what was expected."""


def read_archive(path: Path, mailbox: str) -> Iterator[ArchivedMessage]:
    """The messages of a Maildir or of a tree of them, an mbox file, one message file, or a folder of .eml and .mbox files
    (those in a folder of their own name's mailbox). Raises ArchiveError before the first message."""
    if path.is_dir():
        return read_maildir(path, mailbox) if holds_maildirs(path) else _read_folder(path, mailbox)
    if not path.is_file():
        raise ArchiveError(f"{path}: no such file or folder")
    return read_mbox(path, mailbox) if is_mbox(path) else _read_message(path, mailbox)


def _read_message(path: Path, mailbox: str) -> Iterator[ArchivedMessage]:
    yield ArchivedMessage(mailbox, to_crlf(path.read_bytes()), frozenset(), int(path.stat().st_mtime), str(path))


def _read_folder(path: Path, mailbox: str) -> Iterator[ArchivedMessage]:
    files = sorted(p for p in path.iterdir() if p.is_file() and p.suffix.lower() in (".eml", ".mbox"))
    if not files:
        raise ArchiveError(f"{path}: neither a Maildir (with cur and new) nor a folder of .eml or .mbox files")

    def read() -> Iterator[ArchivedMessage]:
        for file in files:
            yield from read_mbox(file, unquote(file.stem)) if is_mbox(file) else _read_message(file, mailbox)

    return read()
