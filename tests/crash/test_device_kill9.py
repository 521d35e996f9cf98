"""The short form of `make deep`'s device that is killed, against our server and Dovecot."""

import tempfile
from pathlib import Path

import pytest
from bench.lab.dovecot import Dovecot
from bench.lab.postwren import Postwren
from bench.lab.process import Unavailable
from tests.crash import device_imap_kill9
from tests.crash.device_kill9 import LOGIN, crash

pytestmark = pytest.mark.real


@pytest.mark.parametrize("peer", ["postwren", "dovecot"])
def test_d71_a_device_that_is_killed_loses_nothing_and_doubles_nothing(peer: str) -> None:
    with tempfile.TemporaryDirectory(prefix="postwren-device-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # Dovecot's processes are another user's
        try:
            server: Postwren | Dovecot = Postwren(folder / "server") if peer == "postwren" else Dovecot(folder, "mdbox")
            server.start()
        except Unavailable as error:
            pytest.skip(str(error))
        try:
            if isinstance(server, Postwren):
                server.add_accounts([LOGIN])
            report = crash(folder, server.pop3, server.lmtp, kills=5, seed=10)
        finally:
            server.stop()
    print(report.text())
    assert report.faults == []
    assert (report.kills, report.kept) == (5, report.delivered)


def test_d71_a_device_that_copies_an_account_and_is_killed_ends_as_one_that_was_not(tmp_path: Path) -> None:
    server = Postwren(tmp_path / "server")
    server.start()
    try:
        server.add_accounts([device_imap_kill9.LOGIN])
        report = device_imap_kill9.crash(tmp_path, server.imap, kills=8, seed=7)
    finally:
        server.stop()
    print(report.text())
    assert report.faults == []
    assert report.kills >= 8
    assert report.moved > 20
