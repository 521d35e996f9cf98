"""What the interop fixtures give to a test: a running server, and the messages to send through it."""

import ssl
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.lab.mail import Pop3, Sender, original

__all__ = ["Corpus", "House", "each_once"]


@dataclass(slots=True)
class House:
    """A running server, ours or the peer. The password of every account is `pass`; `localhost` is in the certificate."""

    smtp: int
    lmtp: int
    pop3: int
    pop3s: int
    imap: int
    imaps: int
    certificate: Path
    is_ours: bool
    logins: Iterator[str]

    def new_login(self) -> str:
        """An account that no other test uses."""
        return next(self.logins)

    def context(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.certificate))

    def open(self, login: str, security: str = "plain") -> Pop3:
        return Pop3(self.pop3s if security == "tls" else self.pop3, login, security=security, context=self.context())

    def deliver(self, login: str, messages: list[bytes]) -> None:
        sender = Sender(self.lmtp, b"LHLO")
        for message in messages:
            replies = sender.send(message, login)
            assert replies[0].startswith(b"250"), (replies, message[:200])
        sender.quit()

    def take_all(self, login: str) -> list[bytes]:
        """Everything in the account, octet by octet, by a raw reader; the account is empty afterwards."""
        pop = self.open(login)
        count = pop.count()
        messages = list(pop.all(range(1, count + 1)))
        pop.delete(range(1, count + 1))
        pop.quit()
        assert self.count(login) == 0
        return messages

    def count(self, login: str) -> int:
        pop = self.open(login)
        count = pop.count()
        pop.quit()
        return count


@dataclass(slots=True)
class Corpus:
    """Real and malformed messages as they can be sent (CRLF), each once. `refused` have a bare CR or a NUL."""

    sendable: list[bytes]
    refused: list[bytes]

    def well_formed(self) -> list[bytes]:
        """Those that no program has a reason to touch: a header block of fields, an empty line, modest lines, no trace of its own
        to add."""
        return [message for message in self.sendable if _is_well_formed(message)]


def _is_well_formed(message: bytes) -> bool:
    header, found, _ = message.partition(b"\r\n\r\n")
    lines = header.split(b"\r\n")
    names = {line.partition(b":")[0].strip().lower() for line in lines if b":" in line and line[:1] not in b" \t"}
    fields = all(line[:1] in (b" ", b"\t") or (b":" in line and b" " not in line.partition(b":")[0]) for line in lines)
    return bool(
        found
        and fields
        and lines[0][:1] not in (b" ", b"\t")
        and header.isascii()
        and all(line.strip() for line in lines)
        and max(map(len, message.split(b"\r\n"))) < 990
        and {b"from", b"date", b"message-id", b"to"} <= names
        and names.isdisjoint({b"bcc", b"return-path", b"delivered-to", b"status", b"x-original-to", b"content-length"})
    )


def each_once(stored: list[bytes], sent: list[bytes], loosely: float = 0, least_exact: float = 1) -> None:
    """Every sent message is there once, below trace headers; nothing else is.

    Of a client that tidies the white space of malformed messages, a share of `loosely` may differ in white space and lack an
    mbox line "From " above. Of one that rewrites messages, only `least_exact` must be as sent; the others are counted.
    """
    places = [original(message, sent) for message in stored]
    others = [message for message, place in zip(stored, places, strict=True) if place is None]
    found = Counter(place for place in places if place is not None)
    missing = [message for place, message in enumerate(sent) if not found[place]]
    assert not found - Counter(range(len(sent))), "some are doubled"
    assert len(others) == len(missing), (len(stored), len(sent), [other[:500] for other in others])
    if least_exact < 1:
        assert len(missing) <= (1 - least_exact) * len(sent), (len(missing), missing[0][:2000])
        return
    assert len(missing) <= loosely * len(sent), (len(missing), "missing", missing[0][:2000], others[0][:2000])
    for message in missing:
        fits = next((other for other in others if _squeezed(other).endswith(_squeezed(message))), None)
        assert fits is not None, ("missing", message[:2000])
        others.remove(fits)


def _squeezed(message: bytes) -> bytes:
    first, _, rest = message.partition(b"\r\n")
    return b"".join((rest if first.startswith(b"From ") else message).split())
