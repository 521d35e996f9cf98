"""LOGIN, AUTHENTICATE, ENABLE, ID, COMPRESS (RFC 9051 sections 6.2 and 6.3.1, RFC 4959, 2971, 4978)."""

import binascii
from dataclasses import dataclass

from postwren.protocols.imap.fault import Fault, Unparsable
from postwren.protocols.imap.primitive import Scanner, decode_text
from postwren.protocols.imap.writer import Writer
from postwren.wire.secret import Secret

__all__ = [
    "Authenticate",
    "Compress",
    "Enable",
    "Id",
    "Login",
    "decode_base64",
    "encode_base64",
    "format_authenticate",
    "format_compress",
    "format_enable",
    "format_id",
    "format_login",
    "parse_authenticate",
    "parse_compress",
    "parse_enable",
    "parse_id",
    "parse_login",
]


@dataclass(frozen=True, slots=True)
class Login:
    """RFC 9051 section 6.2.3."""

    name: str
    password: Secret[str]


@dataclass(frozen=True, slots=True)
class Authenticate:
    """RFC 9051 section 6.2.2; `initial` is SASL-IR's (RFC 4959), decoded; None where the first challenge is waited for."""

    mechanism: str  # in capitals
    initial: Secret[bytes] | None = None


@dataclass(frozen=True, slots=True)
class Enable:
    """RFC 9051 section 6.3.1; names in capitals."""

    capabilities: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Id:
    """RFC 2971; None is NIL."""

    fields: tuple[tuple[str, str | None], ...] | None


@dataclass(frozen=True, slots=True)
class Compress:
    """RFC 4978; in capitals."""

    algorithm: str


def decode_base64(octets: bytes) -> bytes | None:
    """Strict base64 (RFC 4648 section 4), or None."""
    try:
        return binascii.a2b_base64(octets, strict_mode=True)
    except binascii.Error:
        return None


def encode_base64(octets: bytes) -> bytes:
    """Base64 on one line."""
    return binascii.b2a_base64(octets, newline=False)


def parse_login(scanner: Scanner) -> Login:
    """`login = "LOGIN" SP userid SP password`, both astrings; in UTF-8, which only a literal holds here."""
    scanner.space()
    name = scanner.text_string()
    scanner.space()
    return Login(name, Secret(scanner.text_string()))


def format_login(writer: Writer, command: Login) -> None:
    writer.put(b"LOGIN ")
    writer.text(command.name)
    writer.put(b" ")
    writer.text(command.password.reveal())


def parse_authenticate(scanner: Scanner) -> Authenticate:
    """`authenticate = "AUTHENTICATE" SP auth-type [SP initial-resp]`; `initial-resp = base64 / "="`."""
    scanner.space()
    mechanism = scanner.keyword().decode("ascii")
    if scanner.is_ended():
        return Authenticate(mechanism)
    scanner.space()
    octets = scanner.rest()
    initial = b"" if octets == b"=" else decode_base64(octets)
    if initial is None or not octets:
        raise Unparsable(Fault.BASE64)
    return Authenticate(mechanism, Secret(initial))


def format_authenticate(writer: Writer, command: Authenticate) -> None:
    writer.put(b"AUTHENTICATE ")
    writer.word(command.mechanism)
    if command.initial is not None:
        writer.put(b" ", encode_base64(command.initial.reveal()) or b"=")


def parse_enable(scanner: Scanner) -> Enable:
    """`enable = "ENABLE" 1*(SP capability)`."""
    names = []
    while not scanner.is_ended():
        scanner.space()
        scanner.count()
        names.append(scanner.atom().decode("ascii").upper())
    if not names:
        raise Unparsable
    return Enable(tuple(names))


def format_enable(writer: Writer, command: Enable) -> None:
    writer.put(b"ENABLE ")
    writer.spaced(command.capabilities, writer.word)


def parse_id(scanner: Scanner) -> Id:
    """`id = "ID" SP id-params-list`; `id-params-list = "(" *(string SP nstring) ")" / nil` (RFC 2971 section 4)."""
    scanner.space()
    if scanner.nil():
        return Id(None)

    def read() -> tuple[str, str | None]:
        name = decode_text(scanner.string())
        scanner.space()
        value = scanner.nstring()
        return name, None if value is None else decode_text(value)

    return Id(scanner.parenthesized(read, may_be_empty=True))


def format_id(writer: Writer, command: Id) -> None:
    writer.put(b"ID ")
    if command.fields is None:
        writer.put(b"NIL")
        return

    def write(field: tuple[str, str | None]) -> None:
        name, value = field
        writer.string(name.encode())
        writer.put(b" ")
        writer.nstring(None if value is None else value.encode())

    writer.listed(command.fields, write)


def parse_compress(scanner: Scanner) -> Compress:
    """`compress = "COMPRESS" SP algorithm` (RFC 4978 section 6)."""
    scanner.space()
    return Compress(scanner.keyword().decode("ascii"))


def format_compress(writer: Writer, command: Compress) -> None:
    writer.put(b"COMPRESS ")
    writer.word(command.algorithm)
