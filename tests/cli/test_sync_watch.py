"""`sync run --watch` as people run it: several accounts, changes by other processes, and an end that is asked for."""

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from .program import ENVIRONMENT, Server, postwren

pytestmark = pytest.mark.real


class Watching:
    """The running command; its events in the order they come."""

    def __init__(self, data: Path) -> None:
        words = [sys.executable, "-m", "postwren", "sync", "run", "--watch", "--json", "--data", str(data)]
        self.process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT)

    def until(self, **wanted: Any) -> dict[str, Any]:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            event: dict[str, Any] = json.loads(line)
            if wanted.items() <= event.items():
                return event
        raise AssertionError(f"it ended: {self.process.stderr.read() if self.process.stderr else ''}")


def test_two_accounts_are_watched_and_sigterm_ends_it_in_order(tmp_path: Path) -> None:
    there, here = tmp_path / "there", tmp_path / "here"
    accounts = ["ann@example.org", "bob@example.org"]
    for login in accounts:
        postwren("account", "add", login, "--password-stdin", data=there, text="secret\n")
    with Server(there) as server:
        for login in accounts:
            place = f"127.0.0.1:{server.base + 43}"
            postwren("sync", "add", login, "--imap", place, "--tls", "none", "--password-stdin", data=here, text="secret\n")
        watching = Watching(here)
        try:
            waits = {watching.until(event="watching", how="notify")["address"] for _ in accounts}
            assert waits == set(accounts)
            for login in accounts:
                postwren("deliver", login, data=there, text=f"Subject: to {login}\n\nhi\n")
                watching.until(event="ended", address=login, fetched=1)
            postwren("deliver", "ann@example.org", data=here, text="Subject: written here\n\nhi\n")
            watching.until(event="ended", address="ann@example.org", sent=1)
            assert "another run synchronises it" in postwren("sync", "run", accounts[0], data=here, code=1)
        finally:
            watching.process.send_signal(signal.SIGTERM)
            _, errors = watching.process.communicate(timeout=30)
        assert (watching.process.returncode, errors) == (0, "")
    postwren("check", data=here)


def test_watching_and_only_saying_do_not_go_together(tmp_path: Path) -> None:
    assert "say one of them" in postwren("sync", "run", "--watch", "--dry-run", data=tmp_path / "data", code=2)
