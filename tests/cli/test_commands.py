"""The commands of the contract, run as people and programs run them, alone and beside a running server."""

import json
import os
import poplib
import resource
import smtplib
from pathlib import Path

import pytest

from .program import Server, postwren

pytestmark = pytest.mark.real

MESSAGE = b"From: a@b.example\nSubject: hello\n\nFrom here on\n.\n..two\nend\n"
CRLF_MESSAGE = MESSAGE.replace(b"\n", b"\r\n")
LOGIN, PASSWORD = "ann@example.org", "sesame"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    postwren("account", "add", LOGIN, "--password-stdin", data=folder, text=PASSWORD + "\n")
    return folder


def fetch_all(server: Server, login: str = LOGIN, password: str = PASSWORD) -> list[bytes]:
    pop3 = poplib.POP3("127.0.0.1", server.port(10), timeout=30)
    try:
        pop3.user(login)
        pop3.pass_(password)
        return [b"\r\n".join(pop3.retr(n)[1]) + b"\r\n" for n in range(1, pop3.stat()[0] + 1)]
    finally:
        pop3.quit()


def test_a_delivered_message_is_exported_octet_for_octet(data: Path, tmp_path: Path) -> None:
    postwren("deliver", LOGIN, data=data, text=MESSAGE)
    postwren("export", LOGIN, str(tmp_path / "out.mbox"), data=data)
    postwren("export", LOGIN, str(tmp_path / "one.eml"), data=data)
    assert (tmp_path / "one.eml").read_bytes() == MESSAGE
    assert b">From here on" in (tmp_path / "out.mbox").read_bytes()


def test_every_form_of_archive_goes_out_and_comes_back(data: Path, tmp_path: Path) -> None:
    for mailbox in ("INBOX", "INBOX", "Archive/2026"):
        if mailbox != "INBOX":
            postwren("import", LOGIN, str(tmp_path / "first.eml"), "--mailbox", mailbox, data=data)
        else:
            postwren("deliver", LOGIN, data=data, text=MESSAGE)
            (tmp_path / "first.eml").write_bytes(MESSAGE + b"again\n")
    for form in ("maildir", "mbox", "eml"):
        folder = tmp_path / form
        assert "3 messages" in postwren("export", LOGIN, str(folder), "--format", form, data=data)
        other = f"{form}@example.org"
        postwren("account", "add", other, "--password-stdin", data=data, text="x\n")
        postwren("import", other, str(folder), data=data)
        rows = {row["login"]: row for row in json.loads(postwren("account", "list", "--json", data=data))}
        assert (rows[other]["messages"], rows[other]["octets"]) == (rows[LOGIN]["messages"], rows[LOGIN]["octets"])
    assert postwren("check", data=data).strip().endswith("ok")


def test_an_import_that_is_run_again_takes_nothing_twice(data: Path, tmp_path: Path) -> None:
    (tmp_path / "m.eml").write_bytes(MESSAGE)
    postwren("import", LOGIN, str(tmp_path / "m.eml"), data=data)
    assert "1 already there" in postwren("import", LOGIN, str(tmp_path / "m.eml"), data=data)
    assert json.loads(postwren("account", "list", "--json", data=data))[0]["messages"] == 1


def test_what_was_done_is_told_as_json(data: Path, tmp_path: Path) -> None:
    def told(*words: str, text: str | bytes = "") -> dict[str, object]:
        answer = json.loads(postwren(*words, "--json", data=data, text=text))
        assert isinstance(answer, dict)
        return answer

    delivered = told("deliver", LOGIN, "--mailbox", "Nowhere", text=MESSAGE)
    assert delivered.pop("uidvalidity")
    assert delivered == {"mailbox": "INBOX", "uid": 1, "octets": len(CRLF_MESSAGE)}
    (tmp_path / "m.eml").write_bytes(MESSAGE + b"again\n")
    assert told("import", LOGIN, str(tmp_path / "m.eml")) == {"imported": 1, "already_there": 0}
    assert told("import", LOGIN, str(tmp_path / "m.eml")) == {"imported": 0, "already_there": 1}
    out = str(tmp_path / "out")
    assert told("export", LOGIN, out) == {"messages": 2, "path": out, "damaged": []}


def test_commands_work_beside_a_running_server(data: Path, tmp_path: Path) -> None:
    with Server(data) as server:
        postwren("account", "add", "bob@example.org", "--password-stdin", data=data, text="bobs\n")
        postwren("deliver", "bob@example.org", data=data, text=MESSAGE)
        with smtplib.SMTP("127.0.0.1", server.port(25)) as smtp:
            smtp.sendmail("x@remote.example", ["bob+tag@example.org"], CRLF_MESSAGE)
        messages = fetch_all(server, "bob@example.org", "bobs")
        assert [m.endswith(CRLF_MESSAGE) for m in messages] == [True, True]
        postwren("account", "password", "bob@example.org", "--password-stdin", data=data, text="new\n")
        with pytest.raises(poplib.error_proto):
            fetch_all(server, "bob@example.org", "bobs")
        assert len(fetch_all(server, "bob@example.org", "new")) == 2
        assert postwren("check", data=data).strip().endswith("ok")
        postwren("account", "remove", "bob@example.org", "--yes", data=data)
        with smtplib.SMTP("127.0.0.1", server.port(25)) as smtp, pytest.raises(smtplib.SMTPRecipientsRefused):
            smtp.sendmail("x@remote.example", ["bob@example.org"], CRLF_MESSAGE)


def test_aliases_and_catch_alls_reach_their_account(data: Path) -> None:
    postwren("address", "add", "info@example.org", LOGIN, data=data)
    postwren("address", "add", "@other.example", LOGIN, data=data)
    with Server(data) as server:
        with smtplib.SMTP("127.0.0.1", server.port(25)) as smtp:
            refused = smtp.sendmail("x@remote.example", ["info@example.org", "anybody@other.example"], CRLF_MESSAGE)
            assert refused == {}
            with pytest.raises(smtplib.SMTPRecipientsRefused):
                smtp.sendmail("x@remote.example", ["anybody@example.org"], CRLF_MESSAGE)
        assert len(fetch_all(server)) == 1  # one message, one account, one copy
    listed = postwren("address", "list", data=data)
    assert listed.splitlines() == [f"@other.example\t{LOGIN}", f"{LOGIN}\t{LOGIN}", f"info@example.org\t{LOGIN}"]
    postwren("address", "remove", "@other.example", data=data)
    assert "@other.example" not in postwren("address", "list", data=data)


def test_many_accounts_come_from_a_file(tmp_path: Path) -> None:
    lines = "".join(f"u{n}@example.org\tpass{n}\n" for n in range(60))
    postwren("account", "add", "--from", "-", data=tmp_path / "data", text=lines)
    assert len(postwren("account", "list", data=tmp_path / "data").splitlines()) == 60


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("account", "add", LOGIN, "--password-stdin"), 1, "exists already"),
        (("account", "add", "no address", "--password-stdin"), 1, "must be an address"),
        (("account", "add"), 2, "LOGIN"),
        (("account", "remove", "nobody@example.org", "--yes"), 1, "no account"),
        (("deliver", "nobody@example.org"), 1, "no account"),
        (("deliver", LOGIN), 1, "standard input is empty"),
        (("import", LOGIN, "/nowhere"), 1, "no such file"),
        (("export", LOGIN, "/"), 1, "exists already"),
        (("address", "add", "x@y.example", "nobody"), 1, "no account"),
        (("address", "remove", "x@y.example"), 1, "nobody here has"),
        (("check", "--data", "/proc/none"), 1, ""),
        (("config", "check", "--config", "/nowhere.toml"), 1, "cannot be read"),
        (("nonsense",), 2, "nonsense"),
    ],
)
def test_errors_say_what_to_do(words: tuple[str, ...], code: int, says: str, data: Path) -> None:
    text = "pw\n" if "--password-stdin" in words else ""
    said = postwren(*words, data=data, text=text, code=code)
    assert says in said
    assert "Traceback" not in said


def test_the_server_takes_as_many_descriptors_as_it_may(data: Path) -> None:
    with Server(data) as server:
        soft, hard = resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE)
        assert soft == hard


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can spoil another user's folder")
def test_root_does_not_spoil_the_folder_of_another_user(data: Path) -> None:
    os.chown(data, 12345, 12345)
    assert "belongs to 12345" in postwren("account", "list", data=data, code=1)


def test_a_quota_is_set_shown_and_kept_to(data: Path) -> None:
    def told() -> dict[str, object]:
        return json.loads(postwren("account", "quota", LOGIN, "--json", data=data))  # type: ignore[no-any-return]

    unlimited = {"login": LOGIN, "octets": 0, "messages": 0, "octets_limit": None, "messages_limit": None}
    assert told() == unlimited
    postwren("account", "quota", LOGIN, "2KiB", "--messages", "1", data=data)
    assert told() == unlimited | {"octets_limit": 2048, "messages_limit": 1}
    says = postwren("deliver", LOGIN, data=data, text="Subject: long\n\n" + "x" * 3000, code=1)
    assert "limit of 2,048 octets" in says
    postwren("deliver", LOGIN, data=data, text="Subject: short\n\n")
    assert "limit of 1 messages" in postwren("deliver", LOGIN, data=data, text="Subject: short\n\n", code=1)
    postwren("account", "quota", LOGIN, "--messages", "none", data=data)
    postwren("deliver", LOGIN, data=data, text="Subject: short\n\n")
    assert (told()["octets_limit"], told()["messages"]) == (2048, 2)
    for words in (["0"], ["1x"], ["--messages", "0"], ["9999999T"]):
        postwren("account", "quota", LOGIN, *words, data=data, code=2)
