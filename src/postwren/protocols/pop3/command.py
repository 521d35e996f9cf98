"""The commands of POP3: for each its dataclass, its parser and its formatter; server and client share them.

RFC 1939 sections 4 to 7 (without APOP, which asks a server to keep passwords in the clear), RFC 2449 section 5 (CAPA),
RFC 2595 section 4 (STLS), RFC 5034 section 4 (AUTH), RFC 6856 sections 2 and 3 (UTF8, LANG).

Parsing never raises and never keeps what it could not read: a `Fault` says what was wrong, without the peer's words.
"""

import binascii
import enum
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

from postwren.wire.errors import LocalProtocolError
from postwren.wire.secret import Secret

__all__ = [
    "Auth",
    "Capa",
    "Command",
    "Dele",
    "Fault",
    "Lang",
    "List",
    "Noop",
    "Pass",
    "Quit",
    "Retr",
    "Rset",
    "Stat",
    "Stls",
    "Top",
    "Uidl",
    "User",
    "Utf8",
    "decode_base64",
    "encode_base64",
    "format_command",
    "parse_command",
]


class Fault(enum.Enum):
    """What is wrong with a line of the peer; the value is fit to be told."""

    UNKNOWN = "unknown command"
    ARGUMENT = "wrong argument"
    TOO_LONG = "line too long"
    NOT_NOW = "not in this state"
    BASE64 = "not base64"
    CANCELLED = "authentication cancelled"
    BEHIND_STLS = "octets behind STLS"
    FOREIGN = "not POP3"


@dataclass(frozen=True, slots=True)
class User:
    """RFC 1939 section 7; UTF-8 as RFC 6856 section 2.2 allows."""

    name: str


@dataclass(frozen=True, slots=True)
class Pass:
    """RFC 1939 section 7: everything behind the first space, spaces too."""

    password: Secret[str]


@dataclass(frozen=True, slots=True)
class Auth:
    """RFC 5034 section 4; `initial` is None where the client waits for the first challenge."""

    mechanism: str
    initial: Secret[bytes] | None = None


@dataclass(frozen=True, slots=True)
class Capa:
    """RFC 2449 section 5."""


@dataclass(frozen=True, slots=True)
class Stls:
    """RFC 2595 section 4."""


@dataclass(frozen=True, slots=True)
class Stat:
    """RFC 1939 section 5."""


@dataclass(frozen=True, slots=True)
class List:
    """RFC 1939 section 5; None is all."""

    number: int | None = None


@dataclass(frozen=True, slots=True)
class Uidl:
    """RFC 1939 section 7; None is all."""

    number: int | None = None


@dataclass(frozen=True, slots=True)
class Retr:
    """RFC 1939 section 5."""

    number: int


@dataclass(frozen=True, slots=True)
class Top:
    """RFC 1939 section 7: the header, and so many lines of the body."""

    number: int
    lines: int


@dataclass(frozen=True, slots=True)
class Dele:
    """RFC 1939 section 5."""

    number: int


@dataclass(frozen=True, slots=True)
class Noop:
    """RFC 1939 section 5."""


@dataclass(frozen=True, slots=True)
class Rset:
    """RFC 1939 section 5."""


@dataclass(frozen=True, slots=True)
class Quit:
    """RFC 1939 sections 4 and 6."""


@dataclass(frozen=True, slots=True)
class Utf8:
    """RFC 6856 section 2.1."""


@dataclass(frozen=True, slots=True)
class Lang:
    """RFC 6856 section 3: a language range, `*` for the server's choice, None to list the languages."""

    language: str | None = None


Command: TypeAlias = User | Pass | Auth | Capa | Stls | Stat | List | Uidl | Retr | Top | Dele | Noop | Rset | Quit | Utf8 | Lang

LONGEST_NUMBER: Final = 10  # digits: no maildrop has more messages, and no message more lines


def parse_command(line: bytes) -> Command | Fault:
    """One line without its LF. A missing CR is forgiven: nothing in POP3 hangs on it, and people type with telnet."""
    if line.endswith(b"\r"):
        line = line[:-1]
    keyword, _, rest = line.partition(b" ")
    parser = PARSERS.get(keyword) or PARSERS.get(keyword.upper())
    return Fault.UNKNOWN if parser is None else parser(rest)


def _number(digits: bytes) -> int | None:
    return int(digits) if digits.isdigit() and len(digits) <= LONGEST_NUMBER else None


def _text(octets: bytes) -> str | None:
    """UTF-8 without the octets that no argument can hold (RFC 6856 section 2.2 rejects what is not UTF-8)."""
    if not octets or b"\0" in octets or b"\r" in octets:
        return None
    try:
        return octets.decode()
    except UnicodeDecodeError:
        return None


def _alone(command: Command) -> Callable[[bytes], Command | Fault]:
    return lambda rest: Fault.ARGUMENT if rest.strip(b" ") else command


def _parse_user(rest: bytes) -> Command | Fault:
    name = _text(rest.strip(b" "))
    return Fault.ARGUMENT if name is None else User(name)


def _parse_pass(rest: bytes) -> Command | Fault:
    password = _text(rest)
    return Fault.ARGUMENT if password is None else Pass(Secret(password))


def _parse_auth(rest: bytes) -> Command | Fault:
    """`"AUTH" SP sasl-mech [SP initial-response]`; `=` is an empty initial response."""
    mechanism, _, initial = rest.strip(b" ").partition(b" ")
    if not mechanism or len(mechanism) > 20 or not mechanism.replace(b"-", b"A").replace(b"_", b"A").isalnum():
        return Fault.ARGUMENT
    name = mechanism.decode("ascii").upper()
    if not initial:
        return Auth(name)
    octets = b"" if initial == b"=" else decode_base64(initial)
    return Fault.BASE64 if octets is None else Auth(name, Secret(octets))


def _parse_list(rest: bytes) -> Command | Fault:
    if not rest:
        return List()
    number = _number(rest.strip(b" "))
    return Fault.ARGUMENT if number is None else List(number)


def _parse_uidl(rest: bytes) -> Command | Fault:
    if not rest:
        return Uidl()
    number = _number(rest.strip(b" "))
    return Fault.ARGUMENT if number is None else Uidl(number)


def _parse_retr(rest: bytes) -> Command | Fault:
    number = _number(rest.strip(b" "))
    return Fault.ARGUMENT if number is None else Retr(number)


def _parse_dele(rest: bytes) -> Command | Fault:
    number = _number(rest.strip(b" "))
    return Fault.ARGUMENT if number is None else Dele(number)


def _parse_top(rest: bytes) -> Command | Fault:
    words = rest.split()
    if len(words) != 2:
        return Fault.ARGUMENT
    number, lines = _number(words[0]), _number(words[1])
    return Fault.ARGUMENT if number is None or lines is None else Top(number, lines)


def _parse_lang(rest: bytes) -> Command | Fault:
    """`"LANG" [SP language-range]`: a basic language range of letters, digits and hyphens, or `*`."""
    rest = rest.strip(b" ")
    if not rest:
        return Lang()
    if rest == b"*" or rest.replace(b"-", b"A").isalnum():
        return Lang(rest.decode("ascii"))
    return Fault.ARGUMENT


PARSERS: Final[dict[bytes, Callable[[bytes], Command | Fault]]] = {
    b"USER": _parse_user,
    b"PASS": _parse_pass,
    b"AUTH": _parse_auth,
    b"CAPA": _alone(Capa()),
    b"STLS": _alone(Stls()),
    b"STAT": _alone(Stat()),
    b"LIST": _parse_list,
    b"UIDL": _parse_uidl,
    b"RETR": _parse_retr,
    b"TOP": _parse_top,
    b"DELE": _parse_dele,
    b"NOOP": _alone(Noop()),
    b"RSET": _alone(Rset()),
    b"QUIT": _alone(Quit()),
    b"UTF8": _alone(Utf8()),
    b"LANG": _parse_lang,
}


def format_command(command: Command) -> bytes:
    """The line with its CRLF; LocalProtocolError where an argument cannot stand on a line."""
    line = _format(command)
    if b"\r" in line or b"\n" in line or b"\0" in line:
        raise LocalProtocolError("an argument holds CR, LF or NUL")
    return line + b"\r\n"


def _format(command: Command) -> bytes:
    match command:
        case Retr(number) | Dele(number):
            return b"%s %d" % (_KEYWORDS[type(command)], number)
        case Top(number, lines):
            return b"TOP %d %d" % (number, lines)
        case List(int(number)) | Uidl(int(number)):
            return b"%s %d" % (_KEYWORDS[type(command)], number)
        case User(name):
            return b"USER " + name.encode()
        case Pass(password):
            return b"PASS " + password.reveal().encode()
        case Auth(mechanism, None):
            return b"AUTH " + mechanism.encode()
        case Auth(mechanism, Secret() as initial):
            return b"AUTH %s %s" % (mechanism.encode(), encode_base64(initial.reveal()) or b"=")
        case Lang(str(language)):
            return b"LANG " + language.encode()
        case _:
            return _KEYWORDS[type(command)]


_KEYWORDS: Final[dict[type[Command], bytes]] = {
    Capa: b"CAPA",
    Stls: b"STLS",
    Stat: b"STAT",
    List: b"LIST",
    Uidl: b"UIDL",
    Retr: b"RETR",
    Dele: b"DELE",
    Noop: b"NOOP",
    Rset: b"RSET",
    Quit: b"QUIT",
    Utf8: b"UTF8",
    Lang: b"LANG",
}


def decode_base64(octets: bytes) -> bytes | None:
    """Strict base64 (RFC 4648 section 4), or None."""
    try:
        return binascii.a2b_base64(octets, strict_mode=True)
    except binascii.Error:
        return None


def encode_base64(octets: bytes) -> bytes:
    """Base64 on one line."""
    return binascii.b2a_base64(octets, newline=False)
