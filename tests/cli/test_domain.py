"""`postwren domain`, as people run it beside a server: what it prints to publish verifies what the server signs."""

import asyncio
import json
import poplib
import smtplib
from pathlib import Path
from typing import Any

import pytest

from postwren.mailauth.dkim import DkimResult, Verifier
from postwren.testing.resolver import ScriptedResolver
from postwren.wire.resolver import Txt

from .program import Server, postwren

pytestmark = pytest.mark.real


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    postwren("account", "add", "ann@example.org", "--password-stdin", data=folder, text="sesame\n")
    (folder / "postwren.toml").write_text('hostname = "mx.example.org"\n')
    return folder


def document(*words: str, data: Path, code: int = 0) -> Any:
    return json.loads(postwren("domain", *words, "--json", data=data, code=code, shows=True))


def submit(server: Server) -> None:
    with smtplib.SMTP("127.0.0.1", server.port(87), timeout=30) as smtp:
        smtp.login("ann@example.org", "sesame")
        smtp.sendmail("ann@example.org", "ann@example.org", b"From: ann@example.org\r\nSubject: x\r\n\r\nhello\r\n")


def last_message(server: Server) -> bytes:
    pop3 = poplib.POP3("127.0.0.1", server.port(10), timeout=30)
    pop3.user("ann@example.org")
    pop3.pass_("sesame")
    octets = b"".join(line + b"\r\n" for line in pop3.retr(pop3.stat()[0])[1])
    pop3.quit()
    return octets


def verified(octets: bytes, keys: list[dict[str, str]]) -> list[DkimResult]:
    records = {(f"{key['selector']}._domainkey.example.org", "TXT"): [Txt(key["record"].encode())] for key in keys}
    verifier = Verifier()
    verifier.feed(octets)
    return asyncio.run(verifier.results(ScriptedResolver(records), 1))  # type: ignore[arg-type]


def test_a_domain_added_beside_a_server_signs_at_once_and_rotates(data: Path) -> None:
    with Server(data) as server:
        submit(server)
        assert b"DKIM-Signature" not in last_message(server)
        added = document("add", "Example.org", "--dmarc", "quarantine", data=data)
        assert added["records"][0]["zone"] == ["example.org. IN MX 10 mx.example.org."]
        assert "PRIVATE" not in json.dumps(added)
        submit(server)
        results = verified(last_message(server), added["keys"])
        assert [(result.verdict.value, result.domain) for result in results] == [("pass", "example.org")] * 2

        prepared = document("rotate", "example.org", data=data)
        assert [key["state"] for key in prepared["keys"]] == ["next", "next"]
        assert "go on signing" in postwren("domain", "rotate", "example.org", data=data, code=1)
        submit(server)
        assert [result.verdict.value for result in verified(last_message(server), added["keys"])] == ["pass"] * 2
        postwren("domain", "rotate", "example.org", "--now", data=data)
        submit(server)
        assert [result.verdict.value for result in verified(last_message(server), prepared["keys"])] == ["pass"] * 2
    assert "PRIVATE" not in server.log.read_text()


def test_what_a_domain_publishes_is_shown_changed_checked_and_removed(data: Path) -> None:
    postwren("domain", "add", "example.org", data=data)
    changed = postwren("domain", "set", "example.org", "--dmarc", "none", "--reports", "post@example.org", data=data)
    assert '"v=DMARC1; p=none; rua=mailto:post@example.org"' in changed
    checked = document("check", "example.org", data=data, code=1)
    assert not checked["ok"]
    assert {each["state"] for each in checked["findings"]} <= {"missing", "differs", "unknown"}
    assert postwren("domain", "list", data=data).startswith("example.org\tdmarc none\t")
    assert "say --yes" in postwren("domain", "remove", "example.org", data=data, code=1)
    postwren("domain", "remove", "example.org", "--yes", data=data)
    assert "no domain" in postwren("domain", "show", "example.org", data=data, code=1)
