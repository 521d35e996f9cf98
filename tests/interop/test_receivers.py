"""Real POP3 clients take every message of the corpora, each once, octet for octet, and the maildrop is empty afterwards.

Clients that keep mail with LF are compared after LF became CRLF again; what a client is known to change is said beside it.
"""

import poplib
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from bench.lab.mail import with_crlf
from tests.interop.house import Corpus, House, each_once
from tests.interop.recorder import Recorder

pytestmark = pytest.mark.real

Find = Callable[[str], str]
SECURITY = ("plain", "stls", "tls")


@pytest.mark.parametrize("security", SECURITY)
def test_a_raw_reader_gets_every_message_octet_for_octet(house: House, corpus: Corpus, security: str) -> None:
    login = house.new_login()
    house.deliver(login, corpus.sendable)
    pop = house.open(login, security)
    numbers = range(1, pop.count() + 1)
    stored = list(pop.all(numbers))
    pop.delete(numbers)
    pop.quit()
    each_once(stored, corpus.sendable)
    assert house.count(login) == 0


@pytest.mark.parametrize("security", SECURITY)
def test_poplib(house: House, corpus: Corpus, security: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(poplib, "_MAXLINE", 1 << 20)  # RFC 1939 limits replies, not the lines of messages
    login = house.new_login()
    house.deliver(login, corpus.sendable)
    session: poplib.POP3
    if security == "tls":
        session = poplib.POP3_SSL("localhost", house.pop3s, context=house.context())
    else:
        session = poplib.POP3("localhost", house.pop3)
        if security == "stls":
            session.stls(house.context())
    session.user(login)
    session.pass_("pass")
    stored = []
    for number in range(1, session.stat()[0] + 1):
        stored.append(b"".join(line + b"\r\n" for line in session.retr(number)[1]))
        session.dele(number)
    session.quit()
    each_once(stored, corpus.sendable)
    assert house.count(login) == 0


@pytest.mark.parametrize("security", SECURITY)
def test_curl(house: House, corpus: Corpus, security: str, program: Find, tmp_path: Path) -> None:
    login, count = house.new_login(), len(corpus.sendable)
    house.deliver(login, corpus.sendable)
    url = f"pop3s://localhost:{house.pop3s}" if security == "tls" else f"pop3://localhost:{house.pop3}"
    common = [program("curl"), "-sS", "-u", f"{login}:pass", "--cacert", str(house.certificate)]
    common += ["--ssl-reqd"] if security == "stls" else []
    run([*common, "-o", f"{tmp_path}/#1", f"{url}/[1-{count}]"])
    each_once([(tmp_path / str(number)).read_bytes() for number in range(1, count + 1)], corpus.sendable)
    run([*common, "--head", "--request", "DELE", f"{url}/[1-{count}]"])
    assert house.count(login) == 0


FETCHMAIL = """
set no bouncemail
set no spambounce
poll localhost protocol pop3 port {port} auth password
  user "{login}" password "pass" {tls} sslcertck sslcertfile "{certificate}"
  mda "{store}"
  no rewrite no mimedecode no dropstatus fetchall nokeep
"""


@pytest.mark.parametrize("security", SECURITY)
def test_fetchmail(house: House, corpus: Corpus, security: str, program: Find, tmp_path: Path) -> None:
    login = house.new_login()
    tls = {"plain": "sslproto ''", "stls": "", "tls": "ssl"}[security]
    rc = tmp_path / "fetchmailrc"
    port = house.pop3s if security == "tls" else house.pop3
    store = storing(tmp_path)
    rc.write_text(FETCHMAIL.format(port=port, login=login, tls=tls, certificate=house.certificate, store=store))
    rc.chmod(0o600)
    command = [program("fetchmail"), "--bad-header", "accept", "-f", str(rc), "--invisible", "--nosyslog", "--nodetach"]
    # it cuts white space at the end of header lines, and ends a header block that no empty line ends
    check_lf_client(house, login, corpus, tmp_path, [*command, "--pidfile", str(tmp_path / "pid")], loosely=0.15)


def test_fetchmail_is_sent_every_octet(house: House, corpus: Corpus, program: Find, tmp_path: Path) -> None:
    """What fetchmail tidies before it hands it on is compared on the wire."""
    login, rc, store = house.new_login(), tmp_path / "fetchmailrc", storing(tmp_path)
    house.deliver(login, corpus.sendable)
    with Recorder(house.pop3) as recorder:
        settings = {"port": recorder.port, "login": login, "tls": "sslproto ''", "certificate": house.certificate}
        rc.write_text(FETCHMAIL.format(store=store, **settings))
        rc.chmod(0o600)
        command = [program("fetchmail"), "--bad-header", "accept", "-f", str(rc), "--invisible", "--nosyslog", "--nodetach"]
        run([*command, "--pidfile", str(tmp_path / "pid")], HOME=str(tmp_path), FETCHMAILHOME=str(tmp_path))
    each_once(recorder.retrieved(), corpus.sendable)
    assert house.count(login) == 0


GETMAIL = """
[retriever]
type = {kind}
server = localhost
port = {port}
username = {login}
password = pass
{ca}
[destination]
type = MDA_external
allow_root_commands = true
path = {store}
[options]
delete = true
read_all = true
delivered_to = false
received = false
verbose = 0
"""


@pytest.mark.parametrize("security", SECURITY)
def test_getmail6(house: House, corpus: Corpus, security: str, program: Find, tmp_path: Path) -> None:
    if security == "stls":
        pytest.skip("getmail6 has no STLS")
    login = house.new_login()
    kind = "SimplePOP3SSLRetriever" if security == "tls" else "SimplePOP3Retriever"
    port, ca = (house.pop3s, f"ca_certs = {house.certificate}") if security == "tls" else (house.pop3, "")
    rc = tmp_path / "getmailrc"
    rc.write_text(GETMAIL.format(kind=kind, port=port, login=login, ca=ca, store=storing(tmp_path, pause=0.04)))
    command = [program("getmail"), "--getmaildir", str(tmp_path), "--rcfile", str(rc)]
    # it takes every message through Python's email package, which does not give all of them back as they were
    check_lf_client(house, login, corpus, tmp_path, command, least_exact=0.4)


def test_getmail6_is_sent_every_octet(house: House, corpus: Corpus, program: Find, tmp_path: Path) -> None:
    """What getmail6 rewrites before it hands it on is compared on the wire."""
    login, rc = house.new_login(), tmp_path / "getmailrc"
    house.deliver(login, corpus.sendable)
    with Recorder(house.pop3) as recorder:
        settings = {"kind": "SimplePOP3Retriever", "port": recorder.port, "login": login, "ca": ""}
        rc.write_text(GETMAIL.format(store=storing(tmp_path, pause=0.04), **settings))
        run([program("getmail"), "--getmaildir", str(tmp_path), "--rcfile", str(rc)], HOME=str(tmp_path))
    each_once(recorder.retrieved(), corpus.sendable)
    assert house.count(login) == 0


MPOP = """
account default
host localhost
port {port}
user {login}
password pass
auth user
tls {tls}
tls_starttls {starttls}
{ca}
delivery mda "{store}"
uidls_file {folder}/uidls
received_header off
keep off
"""


@pytest.mark.parametrize("security", SECURITY)
def test_mpop(house: House, corpus: Corpus, security: str, program: Find, tmp_path: Path) -> None:
    login = house.new_login()
    tls, starttls = {"plain": ("off", "off"), "stls": ("on", "on"), "tls": ("on", "off")}[security]
    port = house.pop3s if security == "tls" else house.pop3
    ca = "" if security == "plain" else f"tls_trust_file {house.certificate}"
    rc, store = tmp_path / "mpoprc", storing(tmp_path)
    rc.write_text(MPOP.format(port=port, login=login, tls=tls, starttls=starttls, ca=ca, store=store, folder=tmp_path))
    rc.chmod(0o600)
    check_lf_client(house, login, corpus, tmp_path, [program("mpop"), "-C", str(rc), "-Q"])


@pytest.mark.parametrize("security", SECURITY)
def test_a_message_of_100_megabytes(house: House, security: str, huge: bytes, program: Find, tmp_path: Path) -> None:
    login = house.new_login()
    house.deliver(login, [huge])
    pop = house.open(login, security)
    each_once([pop.retrieve(1)], [huge])
    pop.quit()
    url = f"pop3s://localhost:{house.pop3s}/1" if security == "tls" else f"pop3://localhost:{house.pop3}/1"
    common = [program("curl"), "-sS", "-u", f"{login}:pass", "--cacert", str(house.certificate)]
    common += ["--ssl-reqd"] if security == "stls" else []
    run([*common, "-o", str(tmp_path / "huge"), url])
    each_once([(tmp_path / "huge").read_bytes()], [huge])
    run([*common, "--head", "--request", "DELE", url])
    assert house.count(login) == 0


def check_lf_client(
    house: House,
    login: str,
    corpus: Corpus,
    folder: Path,
    command: list[str],
    loosely: float = 0,
    least_exact: float = 1,
) -> None:
    """Deliver, run the client, compare what its MDA stored."""
    house.deliver(login, corpus.sendable)
    run(command, HOME=str(folder), FETCHMAILHOME=str(folder))
    stored = [with_crlf(path.read_bytes()) for path in (folder / "stored").iterdir()]
    each_once(stored, corpus.sendable, loosely, least_exact)
    assert house.count(login) == 0


def storing(folder: Path, pause: float = 0) -> Path:
    """A program that stores what it reads as a file of its own in folder/stored.

    `pause` is for getmail6: it waits for minutes when its child ends before it has begun to wait.
    """
    (folder / "stored").mkdir()
    script = folder / "store"
    script.write_text(f'#!/bin/sh\ncat > "$(mktemp {folder}/stored/XXXXXXXX)" && sleep {pause}\n')
    script.chmod(0o755)
    return script


def run(command: list[str], **environment: str) -> None:
    done = subprocess.run(command, capture_output=True, timeout=120, env={"PATH": "/usr/bin:/bin", **environment}, check=False)
    assert done.returncode == 0, (done.returncode, done.stdout[-500:], done.stderr[-1500:])
