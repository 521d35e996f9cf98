"""What people meet when something is wrong with their files: words that say what to do, never a traceback."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import apsw
import pytest

from postwren.storage.embedded.schema import VERSION

from .program import ENVIRONMENT, postwren

pytestmark = pytest.mark.real

LOGIN = "ann@example.org"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    postwren("account", "add", LOGIN, "--password-stdin", data=folder, text="sesame\n")
    return folder


@pytest.mark.parametrize("words", [("account", "list"), ("check",), ("check", "--repair"), ("serve", "--dev")])
def test_an_index_that_is_none_is_said_to_be_damaged(words: tuple[str, ...], data: Path) -> None:
    (data / "index.db").write_bytes(os.urandom(20_000))
    said = postwren(*words, data=data, code=1)
    assert "Traceback" not in said
    assert f"{data}/index.db is damaged" in said


def test_check_reports_an_index_with_broken_pages(data: Path) -> None:
    for _ in range(3):
        postwren("deliver", LOGIN, data=data, text="Subject: x\n\nhi\n")
    index = bytearray((data / "index.db").read_bytes())
    page = index.index(LOGIN.encode()) // 8192
    index[page * 8192 : (page + 1) * 8192] = b"\xff" * 8192
    (data / "index.db").write_bytes(index)
    said = postwren("check", data=data, code=1)
    assert "Traceback" not in said


def test_an_index_of_a_newer_program_is_named_so(data: Path) -> None:
    connection = apsw.Connection(str(data / "index.db"))
    connection.execute(f"PRAGMA user_version = {VERSION + 1}")
    connection.close()
    said = postwren("account", "list", data=data, code=1)
    assert "use a newer Postwren" in said
    assert "Traceback" not in said


def test_a_data_folder_that_is_a_file_is_said_to_be_one(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    said = postwren("account", "list", data=tmp_path / "file", code=1)
    assert str(tmp_path / "file") in said
    assert "disk failed" not in said


def test_looking_at_the_configuration_makes_no_folder(tmp_path: Path) -> None:
    postwren("config", "check", data=tmp_path / "none")
    postwren("account", "list", "--config", str(tmp_path / "nowhere.toml"), data=tmp_path / "none", code=1)
    assert not (tmp_path / "none").exists()


def test_accounts_in_another_encoding_are_refused_in_words(data: Path, tmp_path: Path) -> None:
    (tmp_path / "list").write_bytes(b"bob@example.org\tm\xfcsli\n")
    said = postwren("account", "add", "--from", str(tmp_path / "list"), data=data, code=1)
    assert "UTF-8" in said
    assert "Traceback" not in said


def test_mailboxes_are_named_in_any_spelling(data: Path, tmp_path: Path) -> None:
    (tmp_path / "m.eml").write_bytes(b"Subject: x\n\nhi\n")
    for name in ("inbox", "Mu\u0308ll", "M\u00fcll"):  # both forms of an umlaut
        postwren("import", LOGIN, str(tmp_path / "m.eml"), "--mailbox", name, data=data)
    postwren("deliver", LOGIN, "--mailbox", "Mu\u0308ll", data=data, text="Subject: y\n\nhi\n")
    assert "1 messages" in postwren("export", LOGIN, str(tmp_path / "a"), "--mailbox", "inbox", data=data)
    assert "2 messages" in postwren("export", LOGIN, str(tmp_path / "b"), "--mailbox", "Mu\u0308ll", data=data)


@pytest.mark.parametrize("name", ["out", "out.mbox", "out.eml", "outbox"])
def test_nobody_else_may_read_what_was_exported(name: str, data: Path, tmp_path: Path) -> None:
    postwren("deliver", LOGIN, data=data, text="Subject: y\n\nhi\n")
    path = tmp_path / name
    words = ("--format", "mbox") if name == "outbox" else ()
    postwren("export", LOGIN, str(path), *words, data=data)
    assert all(found.stat().st_mode & 0o077 == 0 for found in [path, *path.rglob("*")])


def test_a_damaged_message_is_left_out_of_an_export_and_said(data: Path, tmp_path: Path) -> None:
    for number in range(3):
        postwren("deliver", LOGIN, data=data, text=f"Subject: {number}\n\nhi\n")
    (segment,) = (data / "segments").iterdir()
    segment.write_bytes(segment.read_bytes().replace(b"Subject: 1", b"Subject: 7"))
    said = postwren("export", LOGIN, str(tmp_path / "out"), data=data, code=1)
    assert "1 damaged" in said
    assert "INBOX, UID 2" in said
    assert len(list((tmp_path / "out/cur").iterdir())) == 2


def test_one_interrupt_ends_a_command_that_waits_for_its_input(data: Path) -> None:
    words = [sys.executable, "-m", "postwren", "deliver", LOGIN, "--data", str(data)]
    command = subprocess.Popen(words, env=ENVIRONMENT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    while not (data / "index.db-wal").exists():
        assert command.poll() is None
    command.send_signal(signal.SIGINT)
    assert command.wait(10) == 1
    _, said = command.communicate()
    assert b"interrupted" in said
    assert b"Traceback" not in said
