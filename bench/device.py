"""Devices that empty a maildrop of 2,000 messages by POP3: ours beside mpop, getmail and fetchmail, against one Dovecot, through
a proxy that counts round trips and octets. A whole process is timed, from its start to its end.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.lab.dovecot import OWNER, Dovecot
from bench.lab.process import Unavailable
from bench.lab.proxy import Proxy
from bench.mailflow import fill_by_lmtp
from bench.measure import OURS, Row, Rows, Target

__all__ = ["pop3_rows"]

ROOT = Path(__file__).parent.parent
Command = tuple[list[str], dict[str, str]]


def pop3_rows(rows: Rows, folder: Path, count: int) -> None:
    """Messages a second, and for each message: round trips, octets both ways."""
    dovecot = Dovecot(folder, "mdbox")
    dovecot.start()
    try:
        with Proxy(dovecot.pop3) as proxy:
            _measure(rows, folder, dovecot, proxy, count)
    finally:
        dovecot.stop()


def _measure(rows: Rows, folder: Path, dovecot: Dovecot, proxy: Proxy, count: int) -> None:
    makers: dict[str, Callable[[Path, str, int], Command]] = {
        OURS: _ours,
        "mpop": _mpop,
        "getmail": _getmail,
        "fetchmail": _fetchmail,
    }
    devices = {name: make for name, make in makers.items() if name == OURS or shutil.which(name)}
    letters = [_letter(number) for number in range(count)]
    turns = Row("sync-pop3.turns", "turns/message", at_most=0.06)
    octets = Row("sync-pop3.octets", "octets/message")

    def filled(target: Target) -> Command:
        login = f"{target.name.lower()}@example.net"
        fill_by_lmtp(dovecot.lmtp, login, letters)
        place = folder / target.name
        place.mkdir(exist_ok=True)
        command = devices[target.name](place, login, proxy.port)
        proxy.reset()
        return command

    def empty(target: Target, command: Command) -> None:
        words, more = command
        done = subprocess.run(words, env={**os.environ, **more}, capture_output=True, check=False)
        if done.returncode:
            raise Unavailable(f"{words[0]} ended with {done.returncode}: {(done.stdout + done.stderr)[-300:].decode()}")
        counted = proxy.reset()
        turns.values.setdefault(target.name, []).append(counted.turns / count)
        octets.values.setdefault(target.name, []).append((counted.sent + counted.received) / count)

    targets = [Target(name, lambda: dovecot.pids) for name in devices]
    empty_once: Any = empty
    rows.measure(Row("sync-pop3", "msg/s", bar=1), targets, empty_once, count, filled)
    for row in (turns, octets):
        rows.all.append(row)
        rows.tell(row)


def _letter(number: int) -> bytes:
    head = b"From: a@example.com\r\nTo: b@example.net\r\nMessage-ID: <%d@example.com>\r\nSubject: %d\r\n\r\n" % (number, number)
    return head + b"".join(b"%064x\r\n" % (number * 1_000_003 + line) for line in range(48))


def _ours(place: Path, login: str, port: int) -> Command:
    environment = {"PYTHONPATH": str(ROOT / "src"), "PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(place / "compiled")}
    words = [sys.executable, "-m", "postwren", "sync"]
    data = ["--data", str(place / "data")]
    if not (place / "data").exists():
        how = ["--pop3", f"127.0.0.1:{port}", "--tls", "none", "--password-stdin"]
        given = {**os.environ, **environment}
        subprocess.run([*words, "add", login, *how, *data], input=b"pass\n", env=given, check=True, capture_output=True)
        subprocess.run(
            [*words, "run", "--dry-run", *data], env=given, check=True, capture_output=True
        )  # what is loaded is compiled
    return [*words, "run", *data], environment


def _maildir(place: Path) -> Path:
    for part in ("cur", "new", "tmp"):
        (place / "Maildir" / part).mkdir(parents=True, exist_ok=True)
    return place / "Maildir"


def _private(path: Path, text: str) -> str:
    path.write_text(text)
    path.chmod(0o600)
    return str(path)


def _mpop(place: Path, login: str, port: int) -> Command:
    text = (
        f"account default\nhost 127.0.0.1\nport {port}\ntls off\nauth user\nuser {login}\npassword pass\nkeep off\n"
        f"received_header off\ndelivery maildir {_maildir(place)}\nuidls_file {place}/uidls\n"
    )
    return ["mpop", "-q", "-C", _private(place / "mpoprc", text)], {}


def _getmail(place: Path, login: str, port: int) -> Command:
    """It delivers to nobody's Maildir as root."""
    for path in (_maildir(place), *(place / "Maildir").iterdir()):
        shutil.chown(path, OWNER)
    text = (
        f"[retriever]\ntype = SimplePOP3Retriever\nserver = 127.0.0.1\nport = {port}\nusername = {login}\npassword = pass\n"
        f"[destination]\ntype = Maildir\npath = {_maildir(place)}/\nuser = {OWNER}\n"
        "[options]\ndelete = true\nverbose = 0\nread_all = false\n"
    )
    return ["getmail", "--getmaildir", str(place), "--rcfile", _private(place / "getmailrc", text)], {}


def _fetchmail(place: Path, login: str, port: int) -> Command:
    store = f"/bin/sh -c 'cat > {_maildir(place)}/new/$$'"
    text = (
        f'poll 127.0.0.1 port {port} protocol pop3 auth password no dns user "{login}" password pass\n'
        f'  sslproto "" nokeep fetchall mda "{store}"\n'
    )
    return ["fetchmail", "--silent", "--nosyslog", "--fetchmailrc", _private(place / "fetchmailrc", text)], {
        "FETCHMAILHOME": str(place)
    }
