"""One server for all interop tests, with as many accounts as they ask for; private Postfixes in front of it; the shared corpora.

POSTWREN_INTEROP_PEER=dovecot runs the same tests against a private Dovecot with a Postfix in front: so the tests are tested.
"""

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from bench.lab.dovecot import Dovecot
from bench.lab.mail import with_crlf
from bench.lab.postfix import Postfix
from bench.lab.postwren import Postwren
from bench.lab.process import Unavailable
from tests.interop.hostile import World, begin
from tests.interop.house import Corpus, House
from tests.shared import SHARED

PEER = os.environ.get("POSTWREN_INTEROP_PEER", "")
ACCOUNTS = 100
SIZE_LIMIT = 200_000_000


@pytest.fixture(scope="session")
def folder() -> Iterator[Path]:
    """World-readable up to the root, as mail programs run as users of their own."""
    path = Path(tempfile.mkdtemp(prefix="postwren-interop-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="session")
def house(folder: Path) -> Iterator[House]:
    logins = [f"box{number}@example.org" for number in range(ACCOUNTS)]
    with contextlib.ExitStack() as stack:
        try:
            start = _peer if PEER == "dovecot" else _ours
            yield start(folder, logins, stack)
        except Unavailable as error:
            pytest.skip(str(error))


def _ours(folder: Path, logins: list[str], stack: contextlib.ExitStack) -> House:
    server = Postwren(folder / "postwren", {"POSTWREN_SMTP_SIZE_LIMIT": str(SIZE_LIMIT)})
    server.start()
    stack.callback(server.stop)
    server.add_accounts(logins)
    return House(
        server.smtp, server.lmtp, server.pop3, server.pop3s, server.imap, server.imaps, server.certificate, True, iter(logins)
    )


def _peer(folder: Path, logins: list[str], stack: contextlib.ExitStack) -> House:
    certificate, key = folder / "cert.pem", folder / "key.pem"
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    kind = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    command = ["openssl", "req", *kind, *names, "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    dovecot = Dovecot(folder, "sdbox", certificate, key)
    dovecot.start()
    stack.callback(dovecot.stop)
    postfix = Postfix(folder / "front", f"lmtp:inet:127.0.0.1:{dovecot.lmtp}")
    postfix.start()
    stack.callback(postfix.stop)
    return House(
        postfix.smtp, dovecot.lmtp, dovecot.pop3, dovecot.pop3s, dovecot.imap, dovecot.imaps, certificate, False, iter(logins)
    )


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A server to be attacked, each file its own."""
    yield from begin(tmp_path_factory.mktemp("hostile"))


@pytest.fixture
def relay(house: House, tmp_path: Path) -> Iterator[Callable[[str], Postfix]]:
    """relay("smtp") or relay("lmtp"): a Postfix that hands everything to the server."""
    with tempfile.TemporaryDirectory(prefix="postwren-postfix-") as name, contextlib.ExitStack() as stack:
        Path(name).chmod(0o755)

        def start(protocol: str) -> Postfix:
            transport = f"lmtp:inet:127.0.0.1:{house.lmtp}" if protocol == "lmtp" else f"smtp:[127.0.0.1]:{house.smtp}"
            try:
                postfix = Postfix(Path(name), transport)
                postfix.start()
            except Unavailable as error:
                pytest.skip(str(error))
            stack.callback(postfix.stop)
            return postfix

        yield start


@pytest.fixture(scope="session")
def corpus() -> Corpus:
    root = SHARED / "corpora"
    if not root.is_dir():
        pytest.skip(f"{root} is absent")
    paths = [path for path in sorted(root.rglob("*")) if path.suffix in (".eml", ".txt") or _is_message_without_suffix(path)]
    messages = list(dict.fromkeys(with_crlf(path.read_bytes()) for path in paths))
    stripped = [message.replace(b"\r\n", b"") for message in messages]
    bad = [b"\r" in rest or b"\0" in rest for rest in stripped]
    return Corpus(
        [message for message, is_bad in zip(messages, bad, strict=True) if not is_bad],
        [message for message, is_bad in zip(messages, bad, strict=True) if is_bad],
    )


def _is_message_without_suffix(path: Path) -> bool:
    return path.is_file() and not path.suffix and path.name not in ("COPYING", "LICENSE") and "ruby-mail" in path.parts


@pytest.fixture(scope="session")
def huge() -> bytes:
    """A message of 100 MB, with lines that need stuffing."""
    line = b".The quick brown fox jumps over the lazy dog, and mail is kept. 0123456789\r\n"
    head = b"From: a@example.com\r\nTo: b@example.org\r\nSubject: huge\r\nDate: Mon, 1 Jan 2024 00:00:00 +0000\r\n"
    head += b"Message-ID: <huge@example.com>\r\n\r\n"
    return head + line * ((100_000_000 - len(head)) // len(line)) + b"end\r\n"


@pytest.fixture(scope="session")
def program() -> Callable[[str], str]:
    """The path of an external program; the test is skipped, with the reason, where it is absent."""

    def find(name: str) -> str:
        path = shutil.which(name)
        if path is None:
            pytest.skip(f"{name} is not installed (tests/interop/setup.sh)")
        return path

    return find
