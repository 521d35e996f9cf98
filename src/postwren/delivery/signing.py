"""Signatures on what leaves (RFC 6376 section 5), put on once: when a message is accepted.

What is signed is what is stored and what is sent: the fields are written in front of the octets before the octets are kept, so a
retry costs nothing and the copy for Sent has them too. The body's hash is taken while the octets come by.

    keys = signers.of_header(block)
    signing = Signing(keys, octets of the header as it comes)
    signing.feed(octets as they come, header too)
    top += signing.fields(header as it is kept, now)

A message that we write ourselves (a report) is there whole: `signers.fields_of(octets, now)`.
"""

from collections.abc import Callable, Sequence
from typing import TypeAlias

from postwren.mailauth.dkim import BodyHash, SigningKey, load_signing_key, sign
from postwren.mailauth.dmarc import author_domains
from postwren.mailstore.domain import DkimKey
from postwren.mailstore.port import Reader
from postwren.mailstore.service.domains import active_keys
from postwren.message.header import read_header

__all__ = ["Sign", "Signers", "Signing"]

Sign: TypeAlias = Callable[[bytes, float], bytes]
"""`Signers.fields_of`."""

_MOST_LOADED = 1000


class Signers:
    """The keys of all our domains. The store is asked each time (another process may have changed them); a key is loaded once."""

    __slots__ = ("_loaded", "_reader")

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._loaded: dict[tuple[str, str], tuple[str, SigningKey]] = {}  # with the public half, which tells keys apart

    def of_domain(self, domain: str) -> list[SigningKey]:
        """Those of the domain, or of the next one above that has any: DMARC takes them for both (RFC 7489 section 3.1.1). RSA
        first, for those who look at one signature only."""
        while "." in domain:
            keys = active_keys(self._reader, domain)
            if keys:
                return [self._load(key) for key in sorted(keys, key=lambda key: key.algorithm, reverse=True)]
            domain = domain.partition(".")[2]
        return []

    def of_header(self, block: bytes) -> list[SigningKey]:
        """Those that sign a message with this header: of the author's domain. None where there is not one author's domain."""
        domains = author_domains(block)
        return self.of_domain(domains[0]) if len(domains) == 1 else []

    def fields_of(self, octets: bytes, now: float) -> bytes:
        """The DKIM-Signature fields to put in front of a whole message; b"" where nobody signs it."""
        header = read_header(octets)
        block = octets[: header.end]
        keys = self.of_header(block)
        if not keys:
            return b""
        signing = Signing(keys, header.body_start)
        signing.feed(octets)
        return signing.fields(block, now)

    def _load(self, key: DkimKey) -> SigningKey:
        place = (key.domain, key.selector)
        public, loaded = self._loaded.get(place, ("", None))
        if loaded is None or public != key.public:
            if len(self._loaded) >= _MOST_LOADED:
                self._loaded.clear()
            loaded = load_signing_key(key.domain, key.selector, key.private)
            self._loaded[place] = (key.public, loaded)
        return loaded


class Signing:
    """One message's. `skip`: so many octets of what is fed stand before the body: the header as it comes, its empty line too."""

    __slots__ = ("_body", "_keys", "_skip")

    def __init__(self, keys: Sequence[SigningKey], skip: int) -> None:
        self._keys = keys
        self._skip = skip
        self._body = BodyHash()

    def feed(self, data: bytes) -> None:
        """The next octets of the message."""
        if self._skip:
            skipped = min(self._skip, len(data))
            self._skip -= skipped
            data = data[skipped:]
        self._body.feed(data)

    def fields(self, header: bytes, now: float) -> bytes:
        """All was fed: the DKIM-Signature fields to put in front of this header."""
        return sign(header, self._body.finish(), self._keys, int(now))
