"""Real programs hand mail in by SMTP, SMTP with STARTTLS and LMTP; what they sent is in the maildrop octet for octet, once.

Programs that send single messages get the well-formed part of the corpora (they add to, or refuse, the rest); the raw sender
sends everything.
"""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from bench.lab.mail import Refused, Sender
from bench.lab.postfix import Postfix
from bench.lab.process import until
from tests.interop.house import Corpus, House, each_once

pytestmark = pytest.mark.real

Find = Callable[[str], str]
FEW = 12


@pytest.mark.parametrize("hello", [b"EHLO", b"LHLO"])
def test_every_message_of_the_corpora_passes_octet_for_octet(house: House, corpus: Corpus, hello: bytes) -> None:
    login = house.new_login()
    sender = Sender(house.lmtp if hello == b"LHLO" else house.smtp, hello)
    sent = corpus.sendable if house.is_ours else corpus.well_formed()
    for message in sent:
        replies = sender.send(message, login)
        assert replies[0].startswith(b"250"), (replies, message[:300])
    sender.quit()
    wait_for(house, login, len(sent))
    each_once(house.take_all(login), sent)


@pytest.mark.parametrize("hello", [b"EHLO", b"LHLO"])
def test_a_bare_cr_or_nul_is_refused_and_the_connection_goes_on(house: House, corpus: Corpus, hello: bytes) -> None:
    if not house.is_ours:
        pytest.skip("the peer takes them")
    login = house.new_login()
    sender = Sender(house.lmtp if hello == b"LHLO" else house.smtp, hello)
    good = corpus.sendable[0]
    for message in [*corpus.refused, good[:-2] + b"\rx\r\n", good[:-2] + b"\0\r\n"]:
        replies = sender.send(message, login)
        assert replies[0].startswith(b"550 5.6.11"), (replies, message[:300])
    assert sender.send(good, login)[0].startswith(b"250")
    sender.quit()
    each_once(house.take_all(login), [good])


def test_an_unknown_recipient_is_refused_at_rcpt(house: House) -> None:
    if not house.is_ours:
        pytest.skip("the peer takes any recipient")
    with Sender(house.smtp) as sender, pytest.raises(Refused) as refusal:
        sender.send(b"Subject: x\r\n\r\n", "nobody@example.org")
    assert refusal.value.code == 550


@pytest.mark.parametrize("mode", ["smtp", "starttls", "lmtp"])
def test_swaks(house: House, corpus: Corpus, mode: str, program: Find, tmp_path: Path) -> None:
    skip_without_tls(house, mode)
    login, sent = house.new_login(), corpus.well_formed()[:FEW]
    port = house.lmtp if mode == "lmtp" else house.smtp
    words = [program("swaks"), "--server", "localhost", "--port", str(port), "--to", login, "--from", "sender@example.com"]
    words += ["--protocol", "LMTP"] if mode == "lmtp" else []
    words += ["--tls", "--tls-verify", "--tls-ca-path", str(house.certificate)] if mode == "starttls" else []
    for message in sent:
        (tmp_path / "message").write_bytes(message.replace(b"\r\n.", b"\r\n..") + b".")  # swaks ends the line
        run([*words, "--no-data-fixup", "--data", f"@{tmp_path}/message"])
    wait_for(house, login, len(sent))
    each_once(house.take_all(login), sent)


@pytest.mark.parametrize("mode", ["smtp", "starttls"])
def test_msmtp(house: House, corpus: Corpus, mode: str, program: Find) -> None:
    skip_without_tls(house, mode)
    login, sent = house.new_login(), corpus.well_formed()[:FEW]
    words = [program("msmtp"), "--host=localhost", f"--port={house.smtp}", "--from=sender@example.com", "--auth=off"]
    words += [f"--tls={'on' if mode == 'starttls' else 'off'}"]
    words += ["--tls-starttls=on", f"--tls-trust-file={house.certificate}"] if mode == "starttls" else []
    for message in sent:
        run([*words, "--", login], given=message.replace(b"\r\n", b"\n"))
    wait_for(house, login, len(sent))
    each_once(house.take_all(login), sent)


@pytest.mark.parametrize("mode", ["smtp", "starttls"])
def test_curl(house: House, corpus: Corpus, mode: str, program: Find, tmp_path: Path) -> None:
    skip_without_tls(house, mode)
    login, sent = house.new_login(), corpus.well_formed()[:FEW]
    words = [program("curl"), "-sS", f"smtp://localhost:{house.smtp}/client.example.net", "--mail-from", "sender@example.com"]
    words += ["--mail-rcpt", login, "--cacert", str(house.certificate)]
    words += ["--ssl-reqd"] if mode == "starttls" else []
    for message in sent:
        (tmp_path / "message").write_bytes(message)
        run([*words, "--upload-file", f"{tmp_path}/message"])
    wait_for(house, login, len(sent))
    each_once(house.take_all(login), sent)


@pytest.mark.parametrize("protocol", ["smtp", "lmtp"])
def test_postfix_hands_on(house: House, corpus: Corpus, protocol: str, relay: Callable[[str], Postfix]) -> None:
    login, sent = house.new_login(), corpus.well_formed()
    postfix = relay(protocol)
    sender = Sender(postfix.smtp)
    for message in sent:
        assert sender.send(message, login)[0].startswith(b"250")
    sender.quit()
    postfix.drained()
    wait_for(house, login, len(sent))
    each_once(house.take_all(login), sent)


def test_curl_sends_100_megabytes(house: House, huge: bytes, program: Find, tmp_path: Path) -> None:
    login = house.new_login()
    (tmp_path / "huge").write_bytes(huge)
    words = [program("curl"), "-sS", f"smtp://localhost:{house.smtp}/client.example.net", "--mail-from", "sender@example.com"]
    run([*words, "--mail-rcpt", login, "--upload-file", f"{tmp_path}/huge"])
    wait_for(house, login, 1)
    each_once(house.take_all(login), [huge])


def skip_without_tls(house: House, mode: str) -> None:
    if mode == "starttls" and not house.is_ours:
        pytest.skip("the peer's SMTP has no certificate")


def wait_for(house: House, login: str, count: int) -> None:
    """Ours has a message when it says 250; a peer hands on behind its queue."""
    if not house.is_ours:
        until(lambda: house.count(login) >= count, 30, "the peer's queue is empty", 0.2)
    assert house.count(login) == count


def run(command: list[str], given: bytes = b"") -> None:
    done = subprocess.run(command, input=given, capture_output=True, timeout=120, check=False)
    assert done.returncode == 0, (done.returncode, done.stdout[-1500:], done.stderr[-1500:])
