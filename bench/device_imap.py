"""Devices that copy an account by IMAP: ours beside mbsync and OfflineIMAP, against Dovecot and against our server, through a
proxy that counts round trips and octets. A whole process is timed, from its start to its end; the login is counted too.

    sync-imap.first      5,000 messages of 3 kB in INBOX, for the first time
    sync-imap.nothing    nothing changed in 51 mailboxes
    sync-imap.flag       one flag that was set here
    sync-imap.move       50 messages of 20 kB that were moved here
"""

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench.imap import upload
from bench.lab.process import Unavailable
from bench.lab.proxy import Counted, Proxy
from bench.measure import OURS, Row, Rows, Target
from postwren.config.schema import Config
from postwren.mailstore.service.copymove import move
from postwren.mailstore.service.flags import FlagAction, change_flags
from postwren.stores import open_store

__all__ = ["imap_rows"]

ROOT = Path(__file__).parent.parent
MAILBOXES = 50
NOW = 1_700_000_000
PASSWORD = b"pass\n"


@dataclass(frozen=True, slots=True)
class Device:
    """`begin` makes its settings, `run` is the command of a whole run."""

    place: Path
    login: str
    port: int
    begin: Callable[["Device"], None]
    run: Callable[["Device"], list[str]]

    @property
    def environment(self) -> dict[str, str]:
        home = {"HOME": str(self.place), "PYTHONPYCACHEPREFIX": str(self.place.parent / "compiled")}
        given = {**os.environ, **home}
        given.pop("PYTHONDONTWRITEBYTECODE", None)
        return given

    def synchronise(self) -> None:
        words = self.run(self)
        done = subprocess.run(words, env=self.environment, capture_output=True, check=False)
        if done.returncode:
            said = (done.stdout + done.stderr)[-400:].decode(errors="replace")
            raise Unavailable(f"{words[0]} ended with {done.returncode}: {said}")


Kind = tuple[Callable[[Device], None], Callable[[Device], list[str]]]


def imap_rows(rows: Rows, folder: Path, server: Target, scale: float) -> None:
    """All four for one server; its name is a part of the rows'."""
    kinds: dict[str, Kind] = {
        OURS: (_begin_ours, _run_ours),
        "mbsync": (_begin_mbsync, _run_mbsync),
        "offlineimap": (_begin_offline, _run_offline),
    }
    kinds = {name: kind for name, kind in kinds.items() if name == OURS or shutil.which(name)}
    with Proxy(server.imap) as proxy:
        bench = _Bench(rows, folder, server, proxy, kinds)
        bench.first(int(5000 * scale))
        bench.changes()


class _Bench:
    def __init__(
        self,
        rows: Rows,
        folder: Path,
        server: Target,
        proxy: Proxy,
        kinds: dict[str, Kind],
    ) -> None:
        self._rows = rows
        self._folder = folder
        self._server = server
        self._proxy = proxy
        self._kinds = kinds
        self._made = 0

    def _device(self, kind: str, login: str) -> Device:
        self._made += 1
        place = self._folder / f"{kind.lower()}-{self._made}"
        place.mkdir(parents=True)
        device = Device(place, login, self._proxy.port, *self._kinds[kind])
        device.begin(device)
        return device

    def _row(
        self, name: str, targets: Mapping[str, Callable[[], Device]], bar: float, turns: float = 0, octets: float = 0
    ) -> None:
        """Time `synchronise` of what each gives, and count what passes."""
        counted: dict[str, list[Counted]] = {kind: [] for kind in targets}

        def before(target: Target) -> Device:
            device = targets[target.name]()
            self._proxy.reset()
            return device

        def action(target: Target, device: Device) -> None:
            device.synchronise()
            counted[target.name].append(self._proxy.reset())

        row = Row(f"sync-imap.{name} ({self._server.name})", "ms", bar=bar)
        self._rows.measure(row, [Target(kind, self._server.pids) for kind in targets], action, before=before)
        if row not in self._rows.all:
            return
        for what, unit, limit in (("turns", "turns", turns), ("sent", "octets", octets), ("received", "octets", 0.0)):
            of = Row(f"{row.name}.{what}", unit, at_most=limit)
            of.values = {kind: [float(_count(one, what)) for one in each] for kind, each in counted.items()}
            self._rows.all.append(of)
            self._rows.tell(of)

    def first(self, count: int) -> None:
        login = self._server.user("u0")
        upload(self._server, "u0", b"INBOX", [_letter(number, 3000) for number in range(count)])
        self._row("first", {kind: partial(self._device, kind, login) for kind in self._kinds}, 1, turns=LOGIN_TURNS + 8)

    def changes(self) -> None:
        login = self._server.user("u1")
        for number in range(MAILBOXES):
            letters = [_letter(1000 * number + place, 1000) for place in range(20)]
            upload(self._server, "u1", b"box%d" % number, letters)
        upload(self._server, "u1", b"INBOX", [_letter(10**6 + number, 20_000) for number in range(60)])
        devices = {}
        for kind in self._kinds:
            devices[kind] = self._device(kind, login)
            devices[kind].synchronise()
            devices[kind].synchronise()
        again = {kind: partial(devices.__getitem__, kind) for kind in devices}
        self._row("nothing", again, 1, turns=LOGIN_TURNS + 1)
        ours = {OURS: lambda: _flagged(devices[OURS])}
        self._row("flag", ours, 0, turns=LOGIN_TURNS + 2)
        self._row("move", {OURS: lambda: _moved(devices[OURS])}, 0, octets=5000)


LOGIN_TURNS = 4
"""What comes before and behind, at most: CAPABILITY, SCRAM's two (Dovecot, by PLAIN: one), LOGOUT."""


def _count(counted: Counted, what: str) -> int:
    return {"turns": counted.turns, "sent": counted.sent, "received": counted.received}[what]


def _letter(number: int, size: int) -> bytes:
    head = b"From: a@example.com\r\nTo: b@example.net\r\nMessage-ID: <%d@example.com>\r\nSubject: %d\r\n\r\n" % (number, number)
    return head + b"".join(b"%064x\r\n" % (number * 1_000_003 + line) for line in range(size // 66))


# -- what was changed on the device


def _flagged(device: Device) -> Device:
    device.synchronise()  # what the last run changed there is seen once more
    asyncio.run(_change(device, is_move=False))
    return device


def _moved(device: Device) -> Device:
    device.synchronise()
    asyncio.run(_change(device, is_move=True))
    return device


async def _change(device: Device, *, is_move: bool) -> None:
    """A flag more on one message, or the 50 first to another mailbox, which is made before."""
    store = await open_store(device.place / "data", Config())
    try:
        (account,) = store.reader.accounts()
        boxes = {box.name: box for box in store.reader.mailboxes(account.account_id)}
        inbox = boxes["INBOX"]
        entries = store.reader.entries(account.account_id, inbox.mailbox_id)
        if not is_move:
            uid = entries[-1].uid
            unit = change_flags(account.account_id, inbox.mailbox_id, [(uid, uid)], FlagAction.ADD, [f"k{inbox.highestmodseq}"])
            await store.perform(unit)
            return
        where, to = (inbox, boxes["box7"]) if len(entries) >= 50 else (boxes["box7"], inbox)
        uids = [entry.uid for entry in store.reader.entries(account.account_id, where.mailbox_id) if entry.size > 15_000][-50:]
        await store.perform(
            move(account.account_id, where.mailbox_id, [(uid, uid) for uid in uids], to.mailbox_id, 1_700_000_000)
        )
    finally:
        store.close()


# -- the devices


def _private(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o600)


def _ours(*words: str) -> list[str]:
    return [sys.executable, "-m", "postwren", "sync", *words]


def _begin_ours(device: Device) -> None:
    words = ["add", device.login, "--imap", f"127.0.0.1:{device.port}", "--tls", "none", "--password-stdin"]
    data = ["--data", str(device.place / "data")]
    done = subprocess.run(_ours(*words, *data), input=PASSWORD, env=device.environment, capture_output=True, check=False)
    if done.returncode:
        raise Unavailable((done.stdout + done.stderr)[-400:].decode(errors="replace"))


def _run_ours(device: Device) -> list[str]:
    return _ours("run", "--data", str(device.place / "data"))


def _begin_mbsync(device: Device) -> None:
    (device.place / "mail").mkdir()
    _private(
        device.place / "mbsyncrc",
        f"IMAPAccount a\nHost 127.0.0.1\nPort {device.port}\nUser {device.login}\nPass pass\nSSLType None\nAuthMechs LOGIN\n\n"
        f"IMAPStore far\nAccount a\n\nMaildirStore near\nPath {device.place}/mail/\nInbox {device.place}/mail/INBOX\n"
        "SubFolders Verbatim\n\n"
        f"Channel c\nFar :far:\nNear :near:\nPatterns *\nCreate Near\nSyncState {device.place}/state-\n",
    )


def _run_mbsync(device: Device) -> list[str]:
    return ["mbsync", "-q", "-c", str(device.place / "mbsyncrc"), "c"]


def _begin_offline(device: Device) -> None:
    _private(
        device.place / "offlinerc",
        "[general]\naccounts = a\nui = quiet\nmetadata = " + str(device.place / "meta") + "\n\n"
        "[Account a]\nlocalrepository = near\nremoterepository = far\n\n"
        f"[Repository near]\ntype = Maildir\nlocalfolders = {device.place}/mail\n\n"
        f"[Repository far]\ntype = IMAP\nremotehost = 127.0.0.1\nremoteport = {device.port}\nremoteuser = {device.login}\n"
        "remotepass = pass\nssl = no\nstarttls = no\nauth_mechanisms = LOGIN\n",
    )


def _run_offline(device: Device) -> list[str]:
    return ["offlineimap", "-o", "-c", str(device.place / "offlinerc")]
