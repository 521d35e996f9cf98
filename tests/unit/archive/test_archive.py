"""mbox, Maildir and single messages: what goes out comes back, octet for octet. (RFC 4155)"""

import io
import mailbox as stdlib_mailbox
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postwren.archive.detect import ArchiveError, read_archive
from postwren.archive.item import ArchivedMessage, to_crlf, to_lf
from postwren.archive.maildir import folder_name, read_maildir, write_maildir
from postwren.archive.mbox import read_mbox, write_mbox

LINES = st.lists(
    st.sampled_from([b"From x", b">From y", b">>From", b"", b"Subject: a", b".", b"text \xff", b"From"]), max_size=12
)
OCTETS = LINES.map(lambda lines: b"Subject: s\r\n" + b"".join(line + b"\r\n" for line in lines))


def message(
    octets: bytes, mailbox: str = "INBOX", flags: frozenset[str] = frozenset(), date: int = 1_700_000_000
) -> ArchivedMessage:
    return ArchivedMessage(mailbox, octets, flags, date, "")


@given(st.lists(OCTETS, max_size=5))
def test_an_mbox_gives_back_what_was_written(tmp_path_factory: pytest.TempPathFactory, messages: list[bytes]) -> None:
    file = io.BytesIO()
    assert write_mbox(file, map(message, messages)) == len(messages)
    path = tmp_path_factory.mktemp("mbox") / "a.mbox"
    path.write_bytes(file.getvalue())
    again = list(read_mbox(path, "Old"))
    assert [m.octets for m in again] == messages
    assert {m.internaldate for m in again} <= {1_700_000_000}


def test_mbox_status_fields_give_flags(tmp_path: Path) -> None:
    path = tmp_path / "in"
    path.write_bytes(
        b"From a@b Mon Jan  1 00:00:00 2024\nStatus: RO\nX-Status: AF\nSubject: x\n\nbody\n\nFrom c@d  bad date\n\nhi\n"
    )
    first, second = read_archive(path, "INBOX")
    assert first.flags == {"\\Seen", "\\Answered", "\\Flagged"}
    assert first.octets.startswith(b"Status: RO\r\nX-Status")
    assert first.internaldate == 1704067200
    assert second.octets == b"\r\nhi\r\n"


def test_the_standard_library_reads_our_mbox(tmp_path: Path) -> None:
    path = tmp_path / "out.mbox"
    with path.open("wb") as file:
        write_mbox(file, [message(b"Subject: one\r\n\r\nFrom here\r\n"), message(b"Subject: two\r\n\r\nb\r\n")])
    box = stdlib_mailbox.mbox(path, create=False)
    assert [m["subject"] for m in box] == ["one", "two"]
    box.close()


def test_a_maildir_gives_back_what_was_written(tmp_path: Path) -> None:
    given_messages = [
        message(b"Subject: 1\r\n\r\n\xff\r\n", "INBOX", frozenset({"\\Seen", "\\Flagged"}), 1_600_000_000),
        message(b"Subject: 2\r\n\r\n", "Sent/2026", frozenset(), 1_600_000_001),
        message(b"Subject: 3\r\n\r\n", "dots.and ../../ways", frozenset({"\\Draft"}), 1_600_000_002),
    ]
    assert write_maildir(tmp_path / "m", given_messages) == 3
    again = {(m.mailbox, m.octets, m.flags, m.internaldate) for m in read_maildir(tmp_path / "m", "INBOX")}
    assert again == {(m.mailbox, m.octets, m.flags, m.internaldate) for m in given_messages}
    assert {p.name for p in tmp_path.iterdir()} == {"m"}


@given(st.text(min_size=1))
def test_a_93_no_mailbox_name_becomes_a_path(name: str) -> None:
    folder = folder_name("x" + name)
    assert "/" not in folder
    assert "\0" not in folder
    assert folder not in (".", "..")


def test_a_folder_of_message_files_is_an_archive(tmp_path: Path) -> None:
    (tmp_path / "1.eml").write_bytes(b"Subject: a\n\nb\n")
    (tmp_path / "2.eml").write_bytes(b"Subject: b\r\n\r\nb\r\n")
    (tmp_path / "note.txt").write_bytes(b"not mail")
    assert [m.octets for m in read_archive(tmp_path, "INBOX")] == [b"Subject: a\r\n\r\nb\r\n", b"Subject: b\r\n\r\nb\r\n"]


@pytest.mark.parametrize("name", ["missing", "."])
def test_what_is_no_archive_is_said(name: str, tmp_path: Path) -> None:
    with pytest.raises(ArchiveError):
        list(read_archive(tmp_path / name, "INBOX"))


@given(st.lists(st.sampled_from([b"a", b"\r", b"\n", b"\r\n"])).map(b"".join))
def test_line_ends_go_there_and_back(octets: bytes) -> None:
    crlf = to_crlf(octets)
    assert crlf.count(b"\n") == crlf.count(b"\r\n")
    assert to_crlf(to_lf(crlf)) == crlf or b"\r\r\n" in crlf


def test_the_line_of_mbsync_is_taken_out_of_its_folders_alone(tmp_path: Path) -> None:
    own, other = b"Subject: a\nX-TUID: abcdefghij+/\n\nX-TUID: abcdefghij+/\n", b"X-TUID: mine\nX-TUID-2: abcdefghij+/\n\n"
    for folder, mark in (("INBOX", ".mbsyncstate"), ("Other/Deep", "")):
        for part in ("cur", "new", "tmp"):
            (tmp_path / folder / part).mkdir(parents=True)
        for number, octets in enumerate((own, other)):
            (tmp_path / folder / "cur" / f"170000000{number}.1_1.host,U={number + 1}:2,FS").write_bytes(octets)
        if mark:
            (tmp_path / folder / mark).touch()
    found = [(message.mailbox, message.octets, message.flags) for message in read_archive(tmp_path, "INBOX")]
    flags = frozenset({"\\Flagged", "\\Seen"})
    assert found == [
        ("INBOX", b"Subject: a\r\n\r\nX-TUID: abcdefghij+/\r\n", flags),
        ("INBOX", to_crlf(other), flags),
        ("Other/Deep", to_crlf(own), flags),
        ("Other/Deep", to_crlf(other), flags),
    ]
