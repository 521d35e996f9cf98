"""TLS inside the link, without a socket: octets in, octets out, alike on every event loop (house rule 4).

    ServerTls, ClientTls, OpportunisticTls  -- what a listener or a call has; each gives a `TlsChannel` per connection
    TlsChannel.receive()  -- ciphertext in, plaintext out; `info` is None until the handshake is done
    TlsChannel.protect()  -- plaintext in, ciphertext out
    TlsChannel.to_send()  -- what the handshake wants written, and the alert after a `TlsFault`

What must stay true: nothing below TLS 1.2, no renegotiation, no compression, no early data (A-07); a client always verifies
(A-09), but for mail to other hosts, where `exchange.policy` says what a certificate must be; plaintext is never handed out before
the handshake is done. Buffers stay near one record (16 kB), because OpenSSL's memory BIO never gives back what it once grew to.
`certificate` is imported where it is used: it loads `cryptography`, a tenth of the start of a command that speaks no TLS.
"""

import contextlib
import logging
import ssl
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final, Protocol

from postwren.transport.clienthello import ClientHello, HelloReader, NotTls
from postwren.transport.session import TlsInfo

__all__ = ["ClientTls", "Credentials", "OpportunisticTls", "ServerTls", "TlsChannel", "TlsFault", "TlsSide"]

log = logging.getLogger(__name__)

_RECORD: Final = 16384
_LARGEST_HANDSHAKE: Final = 65536
_NO_APPLICATION_PROTOCOL: Final = 120  # RFC 7301 section 3.2
_UNRECOGNIZED_NAME: Final = 112  # RFC 6066 section 3
_CIPHERS_BELOW_1_3: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"


class TlsFault(Exception):
    """TLS ended badly: write what `to_send` still gives (an alert), then close."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """A loaded certificate with its context: what one handshake uses, whatever is reloaded meanwhile."""

    context: ssl.SSLContext
    names: frozenset[str]
    end_point: bytes | None


class HelloGate:
    """Judges the ClientHello before a TLS object exists: `admit` says how to make one, or with which alert to end."""

    __slots__ = ("_admit", "_reader", "alert")

    def __init__(self, admit: "Callable[[ClientHello], int | TlsMaker]") -> None:
        self._admit = admit
        self._reader = HelloReader()
        self.alert = b""

    def feed(self, data: bytes) -> "tuple[TlsMaker, bytes] | None":
        """None until the ClientHello is whole; then the maker of the TLS object and all octets so far."""
        try:
            hello = self._reader.feed(data)
        except NotTls as fault:
            raise TlsFault(str(fault)) from None  # no alert: whoever this is does not speak TLS
        if hello is None:
            return None
        verdict = self._admit(hello)
        if isinstance(verdict, int):
            self.alert = bytes((21, 3, 3, 0, 2, 2, verdict))
            raise TlsFault(f"ClientHello refused with alert {verdict}")
        return verdict, bytes(self._reader.octets)


@dataclass(frozen=True, slots=True)
class TlsMaker:
    """How a channel gets its TLS object, and what it says about it afterwards."""

    wrap: Callable[[ssl.MemoryBIO, ssl.MemoryBIO], ssl.SSLObject]
    describe: Callable[[ssl.SSLObject], TlsInfo]


class TlsChannel:
    """One connection's TLS. After `receive` (also when it raised), write `to_send()`."""

    __slots__ = ("_describe", "_gate", "_incoming", "_object", "_outgoing", "_received", "info", "is_ended")

    def __init__(self, start: HelloGate | TlsMaker) -> None:
        self.info: TlsInfo | None = None
        self.is_ended = False  # the peer said close_notify
        self._received = 0
        self._object: ssl.SSLObject | None = None
        self._gate: HelloGate | None = None
        if isinstance(start, TlsMaker):
            self._begin(start)
            with contextlib.suppress(ssl.SSLWantReadError):
                self._handshake()
        else:
            self._gate = start

    def receive(self, data: bytes) -> bytes:
        """Take ciphertext, give plaintext. Raises TlsFault."""
        if self._object is None:
            assert self._gate is not None
            passed = self._gate.feed(data)
            if passed is None:
                return b""
            maker, data = passed
            self._gate = None
            self._begin(maker)
        plain: list[bytes] = []
        view = memoryview(data)
        try:
            for start in range(0, len(data), _RECORD):
                self._incoming.write(view[start : start + _RECORD])
                self._step(plain)
        except ssl.SSLError as fault:
            raise TlsFault(fault.reason or str(fault)) from fault
        return plain[0] if len(plain) == 1 else b"".join(plain)

    def _begin(self, maker: TlsMaker) -> None:
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._object = maker.wrap(self._incoming, self._outgoing)
        self._describe = maker.describe

    def _step(self, plain: list[bytes]) -> None:
        """Go on with what has just been fed."""
        assert self._object is not None
        try:
            if self.info is None:
                self._received += self._incoming.pending
                if self._received > _LARGEST_HANDSHAKE:
                    raise TlsFault("a handshake without end")
                self._handshake()
            read = self._object.read
            while not self.is_ended:
                piece = read(_RECORD)
                if piece:
                    plain.append(piece)
                else:
                    self.is_ended = True
        except ssl.SSLWantReadError:
            pass

    def _handshake(self) -> None:
        assert self._object is not None
        self._object.do_handshake()
        self.info = self._describe(self._object)

    def to_send(self) -> bytes:
        """Octets of TLS itself that must be written now."""
        if self._object is None:
            assert self._gate is not None
            return self._gate.alert
        return self._outgoing.read() if self._outgoing.pending else b""

    def protect(self, data: bytes) -> bytes:
        """Ciphertext of `data` (not empty); only after the handshake. Raises TlsFault."""
        assert self._object is not None
        write, read = self._object.write, self._outgoing.read
        view = memoryview(data)
        pieces = []
        start = 0
        try:
            while start < len(data):
                start += write(view[start : start + _RECORD])
                pieces.append(read())  # at once, so that the memory BIO stays at the size of one record
        except ssl.SSLError as fault:
            raise TlsFault(fault.reason or str(fault)) from fault
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def end(self) -> bytes:
        """Our close_notify, as ciphertext; nothing is protected after it."""
        if self._object is None or self.info is None:
            return b""
        with contextlib.suppress(ssl.SSLError):
            self._object.unwrap()
        return self._outgoing.read()


class TlsSide(Protocol):
    """What a link needs to begin TLS."""

    def channel(self) -> TlsChannel:
        """A channel for one connection."""


class ServerTls:
    """A listener's side: certificate and key from files, watched for change; strict ALPN (A-06).

    `alpn` is our registered protocol name (RFC 7301; b"imap", b"pop3"), None for SMTP, which has none. `strict_sni` refuses
    names that the certificate does not have (not for port 25: senders ask for the mail domain, or anything).
    """

    def __init__(self, certificate: Path, key: Path, alpn: bytes | None = None, strict_sni: bool = False) -> None:
        self._certificate = certificate
        self._key = key
        self._alpn = alpn
        self._strict_sni = strict_sni
        self._seen = self._state_of_files()
        self._infos: dict[tuple[str, str], TlsInfo] = {}
        self.credentials = self._load()

    def channel(self) -> TlsChannel:
        """A channel that first reads and judges the ClientHello."""
        return TlsChannel(HelloGate(self._admit))

    def reload(self) -> bool:
        """Load the files again, for new handshakes; False (and a line in the log) when they are no good: the old ones stay."""
        self._seen = self._state_of_files()
        try:
            self.credentials = self._load()
        except (OSError, ValueError) as fault:  # ssl.SSLError is an OSError
            log.error("certificate %s not reloaded, the old one stays: %s", self._certificate, fault)
            return False
        self._infos = {}
        return True

    def _admit(self, hello: ClientHello) -> int | TlsMaker:
        from postwren.transport.certificate import name_is_covered

        if self._state_of_files() != self._seen:
            self.reload()
        credentials = self.credentials
        if hello.alpn is not None and not self._takes_alpn(hello.alpn):
            return _NO_APPLICATION_PROTOCOL
        name = hello.server_name
        if self._strict_sni and name is not None and not name_is_covered(name, credentials.names):
            return _UNRECOGNIZED_NAME

        def describe(tls: ssl.SSLObject) -> TlsInfo:
            return self._info(tls, credentials)

        return TlsMaker(lambda into, out: credentials.context.wrap_bio(into, out, server_side=True), describe)

    def _takes_alpn(self, offer: tuple[bytes, ...]) -> bool:
        if self._alpn is not None:
            return self._alpn in offer
        return any(name != b"h2" and name != b"h3" and not name.startswith(b"http/") for name in offer)

    def _info(self, tls: ssl.SSLObject, credentials: Credentials) -> TlsInfo:
        """Equal connections share one TlsInfo: it is most of what an idle one would cost."""
        version, cipher = _version_and_cipher(tls)
        if version == "TLSv1.2":
            return TlsInfo(version, cipher, _bindings(tls, credentials.end_point))
        info = self._infos.get((version, cipher))
        if info is None or info.bindings.get("tls-server-end-point") != credentials.end_point:
            info = self._infos[version, cipher] = TlsInfo(version, cipher, _bindings(tls, credentials.end_point))
        return info

    def _load(self) -> Credentials:
        from postwren.transport.certificate import certificate_names, server_end_point

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        _harden(context)
        context.options |= ssl.OP_CIPHER_SERVER_PREFERENCE
        context.load_cert_chain(self._certificate, self._key)
        if self._alpn is not None:
            context.set_alpn_protocols([self._alpn.decode()])
        der = ssl.PEM_cert_to_DER_cert(_first_certificate(self._certificate.read_text()))
        return Credentials(context, certificate_names(der), server_end_point(der))

    def _state_of_files(self) -> tuple[tuple[int, int, int], ...]:
        state = []
        for path in (self._certificate, self._key):
            try:
                found = path.stat()
                state.append((found.st_mtime_ns, found.st_size, found.st_ino))
            except OSError:
                state.append((0, 0, 0))
        return tuple(state)


class ClientTls:
    """A caller's side: verification is always on (RFC 8314 section 5.3, RFC 7817). `trusted` is a file of certificates to trust
    instead of the system's."""

    def __init__(self, host: str, alpn: bytes | None = None, trusted: Path | None = None) -> None:
        self._host = host
        path = str(trusted) if trusted is not None else ssl.get_default_verify_paths().cafile or ""
        self._context = _verifying_context(path, trusted is None, _modified(path), alpn)

    def channel(self) -> TlsChannel:
        """A channel with the ClientHello ready to send."""
        return TlsChannel(TlsMaker(self._wrap, _client_info))

    def _wrap(self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO) -> ssl.SSLObject:
        return self._context.wrap_bio(incoming, outgoing, server_hostname=self._host)


@lru_cache(maxsize=8)  # to read the system's authorities takes longer than everything else that a connection needs
def _verifying_context(path: str, is_system: bool, _modified: int, alpn: bytes | None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=None if is_system else path)
    _harden(context)
    if alpn is not None:
        context.set_alpn_protocols([alpn.decode()])
    return context


def _modified(path: str) -> int:
    try:
        return Path(path).stat().st_mtime_ns
    except OSError:
        return 0


class OpportunisticTls:
    """A caller's side towards a host that may show any certificate (RFC 7435): better than none. `judge` sees the chain that it
    showed, in DER and leaf first, before anything is said inside, and may raise an ssl.SSLError. `name` is for SNI."""

    def __init__(self, name: str | None, judge: Callable[[list[bytes]], None] | None = None) -> None:
        self._name = name
        self._judge = judge

    def channel(self) -> TlsChannel:
        """A channel with the ClientHello ready to send."""
        return TlsChannel(TlsMaker(self._wrap, self._describe))

    def _wrap(self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO) -> ssl.SSLObject:
        return _opportunistic_context().wrap_bio(incoming, outgoing, server_hostname=self._name)

    def _describe(self, tls: ssl.SSLObject) -> TlsInfo:
        if self._judge is not None:
            self._judge(_shown_chain(tls))
        version, cipher = _version_and_cipher(tls)
        return TlsInfo(version, cipher, {})


@lru_cache(maxsize=1)  # the same for every host: only the name differs
def _opportunistic_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    _harden(context)
    # Whom no such cipher suits would get the mail in the clear: older ones with a key of 128 bits and more are better.
    context.set_ciphers(f"{_CIPHERS_BELOW_1_3}:HIGH:!aNULL:!eNULL:!3DES:!MD5:!RC4:!PSK:!SRP")
    return context


def _shown_chain(tls: ssl.SSLObject) -> list[bytes]:
    if sys.version_info >= (3, 13):
        return tls.get_unverified_chain()
    inner = tls._sslobj  # type: ignore[attr-defined]  # until Python 3.13 nobody else tells
    return [certificate.public_bytes(2) for certificate in inner.get_unverified_chain() or ()]  # 2: DER


def _harden(context: ssl.SSLContext) -> None:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.set_ciphers(_CIPHERS_BELOW_1_3)


def _client_info(tls: ssl.SSLObject) -> TlsInfo:
    from postwren.transport.certificate import server_end_point

    version, cipher = _version_and_cipher(tls)
    der = tls.getpeercert(binary_form=True)
    return TlsInfo(version, cipher, _bindings(tls, None if der is None else server_end_point(der)))


def _version_and_cipher(tls: ssl.SSLObject) -> tuple[str, str]:
    cipher = tls.cipher()
    return tls.version() or "", "" if cipher is None else cipher[0]


def _bindings(tls: ssl.SSLObject, end_point: bytes | None) -> dict[str, bytes]:
    bindings = {} if end_point is None else {"tls-server-end-point": end_point}
    # RFC 9266 section 3: tls-unique is not defined for TLS 1.3.
    if tls.version() == "TLSv1.2" and (unique := tls.get_channel_binding("tls-unique")) is not None:
        bindings["tls-unique"] = unique
    return bindings


def _first_certificate(pem: str) -> str:
    end = "-----END CERTIFICATE-----"
    start = pem.find("-----BEGIN CERTIFICATE-----")
    stop = pem.find(end, start)
    if start < 0 or stop < 0:
        raise ValueError("no certificate in the file")
    return pem[start : stop + len(end)] + "\n"
