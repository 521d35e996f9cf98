"""A full disk (D-04): mail is refused with 452, nothing acknowledged is lost, reading goes on; delivery returns with the space.

Once with the reserve of the configuration, once without, when the write itself fails."""

import asyncio
import contextlib
import errno
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from bench.lab.mail import Pop3, Refused, Sender, original
from bench.lab.postwren import Postwren
from bench.lab.process import Unavailable

from postwren.mailstore.digester import render
from postwren.mailstore.errors import TextIndexFailed
from postwren.mailstore.model import Credentials
from postwren.mailstore.service.accounts import create_account
from postwren.mailstore.service.append import NewMessage, append
from postwren.message.searchtext import search_text
from postwren.storage.embedded import EmbeddedStore, Settings
from postwren.storage.embedded.search_index import SearchIndex
from postwren.terms import INBOX, EmailId

pytestmark = pytest.mark.real

LOGIN = "ann@example.org"
VOLUME = 64_000_000
Start = Callable[[int], Postwren]


@pytest.fixture
def volume(tmp_path: Path) -> Iterator[Path]:
    """A small file system."""
    data = tmp_path / "volume"
    data.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={VOLUME}", "tmpfs", str(data)], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"a small tmpfs cannot be mounted (needs root): {mounted.stderr.strip()}")
    try:
        yield data
    finally:
        subprocess.run(["umount", str(data)], check=True)


@pytest.fixture
def start(volume: Path) -> Iterator[Start]:
    """start(reserve): a server whose data folder is a small file system of its own."""
    servers: list[Postwren] = []

    def begin(reserve: int) -> Postwren:
        server = Postwren(volume, {"POSTWREN_STORAGE_RESERVE": str(reserve)})
        servers.append(server)
        server.start()
        server.add_accounts([LOGIN])
        return server

    try:
        yield begin
    finally:
        for server in servers:
            server.stop()


def test_what_can_be_made_again_stops_before_the_reserve_of_mail(volume: Path) -> None:
    """`derived.db` and `search.db` leave twice the reserve, with their logs."""
    reserve = 10_000_000

    async def story() -> None:
        store = EmbeddedStore(volume, settings=Settings(reserve=reserve))
        account = await store.perform(create_account(LOGIN, Credentials("", {}), 0))
        index = SearchIndex(volume, 2 * reserve)
        body = store.new_body()
        body.write(message(1, 20_000))
        new = body.finish()
        inbox = store.reader.mailbox_by_name(account.account_id, INBOX)
        assert inbox is not None
        await store.perform(append(account.account_id, inbox.mailbox_id, [NewMessage(new, 0, frozenset())], 0), [new])
        (email,) = store.reader.emails(account.account_id)
        (row,) = render(store, [email])
        fill(volume, leave=2 * reserve + 25_000_000)
        for number in range(1, 10_000):
            if not store.digests.put([row._replace(email_id=EmailId(number), preview="x" * 20_000)]):
                break
        assert 100 < number < 9_999, "there was room for some"
        assert reserve < left(volume) < 2 * reserve
        (volume / "filler").unlink()
        fill(volume, leave=2 * reserve + 25_000_000)
        text, number = search_text(message(2, 20_000)), 0
        with contextlib.suppress(TextIndexFailed):
            for number in range(1, 10_000):
                index.put(account.account_id, [(EmailId(number), text)], (EmailId(number), b"content"))
        assert 10 < number < 9_999, "there was room for some"
        assert reserve < left(volume) < 2 * reserve
        index.close()
        store.close()

    asyncio.run(story())


def left(folder: Path) -> int:
    status = os.statvfs(folder)
    return status.f_bavail * status.f_frsize


@pytest.mark.parametrize("reserve", [10_000_000, 0])
@pytest.mark.parametrize("hello", [b"EHLO", b"LHLO"])
def test_a_full_disk_refuses_with_452_and_recovers_by_itself(start: Start, reserve: int, hello: bytes) -> None:
    server = start(reserve)
    port = server.lmtp if hello == b"LHLO" else server.smtp
    filler = fill(server.data, leave=reserve + 3_000_000)
    accepted, refusals = deliver_until_refused(port, hello)
    assert accepted, "there was room for some"
    assert all(refusal.startswith(b"452 4.3.1") for refusal in refusals), refusals
    assert is_all_there(server, accepted), "reading goes on"

    filler.unlink()
    sender = Sender(port, hello)
    last = message(9999)
    assert sender.send(last, LOGIN)[0].startswith(b"250")
    sender.quit()
    assert is_all_there(server, [*accepted, last])

    server.stop()
    server.run("check")
    server.start()
    assert is_all_there(server, [*accepted, last])


def test_deletion_works_on_a_full_disk_or_says_that_it_did_not(start: Start) -> None:
    server = start(0)
    filler = fill(server.data, leave=3_000_000)
    accepted, _ = deliver_until_refused(server.lmtp, b"LHLO")
    pop = Pop3(server.pop3, LOGIN)
    pop.delete([1])
    try:
        pop.quit()
        left = accepted[1:]
    except Refused:
        left = accepted
    finally:
        pop.close()
    assert is_all_there(server, left)
    filler.unlink()
    assert is_all_there(server, left)


@pytest.mark.parametrize("is_running", [True, False], ids=["beside the server", "alone"])
def test_commands_that_read_need_no_space(start: Start, tmp_path: Path, is_running: bool) -> None:
    server = start(0)
    filler = fill(server.data, leave=3_000_000)
    accepted, _ = deliver_until_refused(server.lmtp, b"LHLO")
    if not is_running:
        server.stop()
    fill(server.data, leave=0, name="rest")
    assert LOGIN in server.run("account", "list")
    assert LOGIN in server.run("address", "list")
    assert f"{len(accepted)} messages read" in server.run("check")
    assert f"{len(accepted)} messages in" in server.run("export", LOGIN, str(tmp_path / "exported"))
    assert len(list((tmp_path / "exported/cur").iterdir())) == len(accepted)
    if not is_running:
        big = tmp_path / "big.eml"
        big.write_bytes(message(0, 400_000))  # what is small may find room in files that are there
        with pytest.raises(Unavailable, match="no space left"):
            server.run("import", LOGIN, str(big))
        filler.unlink()
        server.start()
    assert is_all_there(server, accepted)


def deliver_until_refused(port: int, hello: bytes) -> tuple[list[bytes], list[bytes]]:
    """What was acknowledged, and the first refusals, of which small ones follow the first."""
    accepted: list[bytes] = []
    refusals: list[bytes] = []
    number = 0
    while len(refusals) < 5:
        sender = Sender(port, hello)
        try:
            while len(refusals) < 5:
                number += 1
                text = message(number, 40_000 if not refusals else 400)
                reply = sender.send(text, LOGIN)[0]
                if reply.startswith(b"250"):
                    accepted.append(text)
                else:
                    refusals.append(reply)
                assert number < 2000, "the disk is never full"
            sender.quit()
        except Refused as refusal:
            refusals.append(str(refusal).encode())
            sender.close()
    return accepted, refusals


def is_all_there(server: Postwren, sent: list[bytes]) -> bool:
    """Exactly these, once, octet for octet."""
    pop = Pop3(server.pop3, LOGIN)
    stored = list(pop.all(range(1, pop.count() + 1)))
    pop.quit()
    return sorted(-1 if (place := original(text, sent)) is None else place for text in stored) == list(range(len(sent)))


def message(number: int, size: int = 4000) -> bytes:
    head = b"From: <a@example.com>\r\nSubject: number %d\r\n\r\n" % number
    return head + (b"%075d\r\n" % number) * (size // 77)


def fill(folder: Path, leave: int, name: str = "filler") -> Path:
    """A file beside the data that leaves so many octets free, while the server may take some as well."""
    path = folder / name
    with path.open("wb") as file:
        for _ in range(100):
            status = os.statvfs(folder)
            size = status.f_bavail * status.f_frsize - leave
            try:
                if size > 0:
                    os.posix_fallocate(file.fileno(), 0, size)
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
                os.ftruncate(file.fileno(), 0)
            else:
                break
    return path
