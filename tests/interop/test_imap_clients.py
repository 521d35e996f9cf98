"""Real IMAP clients: every message of the corpora in and out, octet for octet, over plain connections, STARTTLS and TLS.

mbsync keeps mail with LF in a Maildir: what it holds is compared after LF became CRLF again.
"""

import imaplib
import re
import subprocess
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from bench.lab.mail import with_crlf
from imapclient import IMAPClient  # type: ignore[import-untyped]
from tests.interop.house import Corpus, House

pytestmark = pytest.mark.real

Find = Callable[[str], str]
SECURITY = ("plain", "starttls", "tls")


def run(command: list[str], **environment: str) -> str:
    done = subprocess.run(command, capture_output=True, check=False, env=environment or None)
    said = (done.stdout + done.stderr).decode(errors="replace")
    assert done.returncode == 0, (command, said[-3000:])
    return said


def reader(house: House, login: str, security: str = "plain") -> imaplib.IMAP4:
    session: imaplib.IMAP4
    if security == "tls":
        session = imaplib.IMAP4_SSL("localhost", house.imaps, ssl_context=house.context())
    else:
        session = imaplib.IMAP4("localhost", house.imap)
        if security == "starttls":
            session.starttls(house.context())
    session.login(login, "pass")
    return session


def everything(house: House, login: str, mailbox: str = "INBOX") -> list[bytes]:
    """The octets of all messages, as imaplib reads them."""
    session = reader(house, login)
    session.select(mailbox, readonly=True)
    _, answer = session.fetch("1:*", "(BODY.PEEK[])")
    session.logout()
    return [part[1] for part in answer if isinstance(part, tuple)]


def fill(house: House, login: str, messages: list[bytes], mailbox: str = "INBOX") -> None:
    session = reader(house, login)
    session.create(mailbox)
    for message in messages:
        assert session.append(mailbox, "", None, message)[0] == "OK"
    session.logout()


@pytest.mark.parametrize("security", SECURITY)
def test_imaplib(house: House, corpus: Corpus, security: str) -> None:
    login = house.new_login()
    session = reader(house, login, security)
    for message in corpus.sendable:
        assert session.append("INBOX", r"(\Seen)", None, message)[0] == "OK"
    assert session.select()[1] == [b"%d" % len(corpus.sendable)]
    _, answer = session.fetch("1:*", "(FLAGS RFC822.SIZE BODY.PEEK[])")
    assert [part[1] for part in answer if isinstance(part, tuple)] == corpus.sendable
    assert session.store("2:4", "+FLAGS", r"(\Deleted)")[0] == "OK"
    assert session.copy("5:6", "INBOX")[0] == "OK"
    assert len(session.expunge()[1]) == 3
    assert session.noop()[0] == "OK"
    whole = len(corpus.sendable)
    assert session.search(None, "ALL")[1] == [b" ".join(b"%d" % number for number in range(1, whole))]
    assert session.uid("SEARCH", "UID 1:5")[1] == [b"1 5"]
    session.close()
    session.logout()
    assert everything(house, login) == [corpus.sendable[0], *corpus.sendable[4:], *corpus.sendable[4:6]]


@pytest.mark.parametrize("security", SECURITY)
def test_imapclient(house: House, corpus: Corpus, security: str) -> None:
    login, messages = house.new_login(), corpus.sendable[:40]
    port = house.imaps if security == "tls" else house.imap
    context = house.context()
    with IMAPClient("localhost", port, ssl=security == "tls", ssl_context=context if security == "tls" else None) as session:
        if security == "starttls":
            session.starttls(context)
        session.login(login, "pass")
        session.create_folder("Büro & Co/Été")
        assert "Büro & Co/Été" in [name for _, _, name in session.list_folders()]
        assert session.namespace().personal is not None
        for message in messages:
            session.append("Büro & Co/Été", message, [b"\\Flagged", b"$Custom"])
        session.select_folder("Büro & Co/Été")
        uids = session.search("ALL")
        fetched = session.fetch(uids, ["BODY.PEEK[]", "FLAGS", "ENVELOPE", "BODYSTRUCTURE", "INTERNALDATE"])
        assert [fetched[uid][b"BODY[]"] for uid in uids] == messages
        assert all({b"\\Flagged", b"$Custom"} <= set(data[b"FLAGS"]) for data in fetched.values())
        session.remove_flags(uids, [b"$Custom"])
        assert session.search(["KEYWORD", "$Custom"]) == []
        if session.has_capability("MOVE"):
            session.move(uids[:10], "INBOX")
        session.delete_messages(uids[10:20])
        session.expunge()
        assert len(session.search("ALL")) == len(messages) - 20
        assert sorted(session.sort("REVERSE ARRIVAL")) == session.search("ALL")
        session.thread("REFERENCES")
        session.unselect_folder()
        session.rename_folder("Büro & Co/Été", "Winter")
        session.delete_folder("Winter")
    assert Counter(everything(house, login)) == Counter(messages[:10])


def test_imapclient_hears_of_mail_while_it_idles(house: House) -> None:
    login = house.new_login()
    with IMAPClient("localhost", house.imap, ssl=False) as session:
        session.login(login, "pass")
        session.select_folder("INBOX")
        session.idle()
        delivery = threading.Thread(target=house.deliver, args=(login, [b"Subject: news\r\n\r\nnow\r\n"]))
        delivery.start()
        heard = session.idle_check(timeout=20)
        delivery.join()
        session.idle_done()
    assert (1, b"EXISTS") in heard


@pytest.mark.parametrize("security", SECURITY)
def test_curl(house: House, corpus: Corpus, security: str, program: Find, tmp_path: Path) -> None:
    login, count = house.new_login(), len(corpus.sendable)
    house_url = f"imaps://localhost:{house.imaps}" if security == "tls" else f"imap://localhost:{house.imap}"
    common = [program("curl"), "-sS", "-u", f"{login}:pass", "--cacert", str(house.certificate)]
    common += ["--ssl-reqd"] if security == "starttls" else []
    for number, message in enumerate(corpus.sendable[:25], 1):
        (tmp_path / f"up{number}").write_bytes(message)
        run([*common, "-T", str(tmp_path / f"up{number}"), f"{house_url}/INBOX"])
    fill(house, login, corpus.sendable[25:])
    run([*common, "-o", f"{tmp_path}/#1", f"{house_url}/INBOX;UID=[1-{count}]"])
    for number, message in enumerate(corpus.sendable, 1):
        assert (tmp_path / str(number)).read_bytes() == message
    assert " 1 2 3" in run([*common, f"{house_url}/INBOX?ALL"])
    assert "Subject" in run([*common, f"{house_url}/INBOX;UID=1;SECTION=HEADER.FIELDS%20(SUBJECT)"]) or count


MBSYNC = """
IMAPAccount there
Host localhost
Port {port}
User {login}
Pass pass
SSLType {ssl}
CertificateFile {certificate}
AuthMechs PLAIN LOGIN

IMAPStore far
Account there

MaildirStore near
Path {folder}/
Inbox {folder}/INBOX
SubFolders Verbatim

Channel all
Far :far:
Near :near:
Patterns *
Create Both
Expunge Both
Remove Both
SyncState *
"""


TUID = re.compile(rb"^X-TUID: [^\r\n]{12}\r\n", re.M)
"""The line by which mbsync finds again what it stored; it stays in the copy that was made, there or here."""


def with_header(corpus: Corpus) -> list[bytes]:
    """mbsync stores nothing whose header does not end."""
    return [message for message in corpus.sendable if b"\r\n\r\n" in message]


def untagged(messages: list[bytes]) -> Counter[bytes]:
    return Counter(TUID.sub(b"", message, count=1) for message in messages)


class Mbsync:
    """A device that mbsync keeps."""

    def __init__(self, house: House, login: str, security: str, program: str, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        ssl = {"plain": "None", "starttls": "STARTTLS", "tls": "IMAPS"}[security]
        port = house.imaps if security == "tls" else house.imap
        self._config = folder / "mbsyncrc"
        self._config.write_text(MBSYNC.format(port=port, login=login, ssl=ssl, certificate=house.certificate, folder=folder))
        self._program = program

    def sync(self) -> str:
        return run([self._program, "-V", "-c", str(self._config), "-a"], HOME=str(self.folder))

    def files(self, mailbox: str = "INBOX") -> list[Path]:
        return sorted(path for part in ("cur", "new") for path in (self.folder / mailbox / part).iterdir())

    def messages(self, mailbox: str = "INBOX") -> Counter[bytes]:
        return untagged([with_crlf(path.read_bytes()) for path in self.files(mailbox)])

    def put(self, messages: list[bytes], mailbox: str = "INBOX") -> None:
        for number, message in enumerate(messages):
            (self.folder / mailbox / "new" / f"1700000000.{number}_1.device").write_bytes(message.replace(b"\r\n", b"\n"))


@pytest.mark.parametrize("security", SECURITY)
def test_mbsync_pulls(house: House, corpus: Corpus, security: str, program: Find, tmp_path: Path) -> None:
    login = house.new_login()
    fill(house, login, with_header(corpus))
    fill(house, login, with_header(corpus)[:10], "Archive/2024")
    device = Mbsync(house, login, security, program("mbsync"), tmp_path / "device")
    device.sync()
    assert device.messages() == Counter(with_header(corpus))
    assert device.messages("Archive/2024") == Counter(with_header(corpus)[:10])


@pytest.mark.parametrize("security", SECURITY)
def test_mbsync_pushes(house: House, corpus: Corpus, security: str, program: Find, tmp_path: Path) -> None:
    login = house.new_login()
    device = Mbsync(house, login, security, program("mbsync"), tmp_path / "device")
    device.sync()
    device.put(with_header(corpus))
    device.sync()
    assert untagged(everything(house, login)) == Counter(with_header(corpus))


def test_mbsync_both_ways_twice_over(house: House, corpus: Corpus, program: Find, tmp_path: Path) -> None:
    """Two devices and the server change flags, add and delete; after two rounds all agree, and a third moves nothing."""
    login = house.new_login()
    one = Mbsync(house, login, "plain", program("mbsync"), tmp_path / "one")
    two = Mbsync(house, login, "tls", program("mbsync"), tmp_path / "two")
    messages = with_header(corpus)[:60]
    fill(house, login, messages[:30])
    one.sync()
    two.sync()
    one.put(messages[30:45])
    for path in two.files():
        if untagged([with_crlf(path.read_bytes())]) <= Counter(messages[:5]):
            path.unlink()
    session = reader(house, login)
    session.select()
    session.store("10:14", "+FLAGS", r"(\Flagged \Answered)")
    session.store("20:22", "+FLAGS", r"(\Deleted)")
    session.expunge()
    session.logout()
    fill(house, login, messages[45:])
    for _ in range(2):
        one.sync()
        two.sync()
    after = untagged(everything(house, login))
    assert one.messages() == two.messages() == after
    assert sum(after.values()) == 60 - 5 - 3
    flagged = [path for path in one.files() if "F" in path.name.partition(":2,")[2]]
    assert len(flagged) == 5
    assert {path.name.partition(":2,")[2] for path in flagged} <= {"FR", "FRS"}
    before = [path.name for path in (*one.files(), *two.files())]
    one.sync()
    two.sync()
    assert [path.name for path in (*one.files(), *two.files())] == before
