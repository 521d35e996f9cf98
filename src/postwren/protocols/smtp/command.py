"""Commands of SMTP: dataclass, parse and format of each, for both roles (RFC 5321 4.1.1, 3030, 3207, 4468, 4954).

`parse_*` take the text behind the verb and what was offered, and raise `CommandFault` with the reply to give.
"""

import re
from binascii import Error as Base64Error
from binascii import a2b_base64, b2a_base64
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from postwren.protocols.smtp.params import (
    NO_MAIL_PARAMS,
    NO_RCPT_PARAMS,
    CommandFault,
    Extension,
    MailParams,
    RcptParams,
    format_mail_params,
    format_rcpt_params,
    parse_mail_params,
    parse_rcpt_params,
)
from postwren.protocols.smtp.path import AddressInvalid, format_path, parse_path
from postwren.protocols.smtp.reply import (
    AUTH_ENCODING,
    CHUNK_SYNTAX,
    NEEDS_SMTPUTF8,
    RECIPIENT_SYNTAX,
    SENDER_SYNTAX,
    SYNTAX,
    URL_SYNTAX,
)
from postwren.terms import Address
from postwren.wire.errors import LocalProtocolError
from postwren.wire.secret import Secret

__all__ = [
    "COMMANDS",
    "Auth",
    "Bdat",
    "Burl",
    "Command",
    "Data",
    "Ehlo",
    "Expn",
    "Helo",
    "Help",
    "Lhlo",
    "Mail",
    "Noop",
    "Parser",
    "Quit",
    "Rcpt",
    "Rset",
    "StartTls",
    "Vrfy",
    "decode_base64",
    "encode_base64",
    "format_command",
]

Offered: TypeAlias = frozenset[Extension]


@dataclass(frozen=True, slots=True)
class Ehlo:
    """The name is what the peer claims: printable, at most 255 octets, judged no further (RFC 5321 4.1.4)."""

    name: str


@dataclass(frozen=True, slots=True)
class Helo:
    """As `Ehlo`, without extensions."""

    name: str


@dataclass(frozen=True, slots=True)
class Lhlo:
    """LMTP's EHLO (RFC 2033 4.1)."""

    name: str


@dataclass(frozen=True, slots=True)
class Mail:
    """`reverse_path` is None for `<>`."""

    reverse_path: Address | None
    params: MailParams = NO_MAIL_PARAMS


@dataclass(frozen=True, slots=True)
class Rcpt:
    """`forward_path` may be `path.POSTMASTER`."""

    forward_path: Address
    params: RcptParams = NO_RCPT_PARAMS


@dataclass(frozen=True, slots=True)
class Data:
    """RFC 5321 4.1.1.4."""


@dataclass(frozen=True, slots=True)
class Bdat:
    """RFC 3030 2: `size` octets follow the line."""

    size: int
    is_last: bool


@dataclass(frozen=True, slots=True)
class Burl:
    """RFC 4468 3.2: a chunk whose octets the server fetches from `url`, an absolute URI."""

    url: str
    is_last: bool


@dataclass(frozen=True, slots=True)
class Rset:
    """RFC 5321 4.1.1.5."""


@dataclass(frozen=True, slots=True)
class Noop:
    """RFC 5321 4.1.1.9; the text is ignored."""


@dataclass(frozen=True, slots=True)
class Quit:
    """RFC 5321 4.1.1.10."""


@dataclass(frozen=True, slots=True)
class Help:
    """RFC 5321 4.1.1.8; the topic is ignored."""


@dataclass(frozen=True, slots=True)
class Vrfy:
    """RFC 5321 4.1.1.6."""

    text: str


@dataclass(frozen=True, slots=True)
class Expn:
    """RFC 5321 4.1.1.7."""

    text: str


@dataclass(frozen=True, slots=True)
class StartTls:
    """RFC 3207 4."""


@dataclass(frozen=True, slots=True)
class Auth:
    """RFC 4954 4; `initial` is decoded, None where there is none."""

    mechanism: str
    initial: Secret[bytes] | None = field(default=None, compare=False)


Command: TypeAlias = (
    Ehlo | Helo | Lhlo | Mail | Rcpt | Data | Bdat | Burl | Rset | Noop | Quit | Help | Vrfy | Expn | StartTls | Auth
)
Parser: TypeAlias = Callable[[str, Offered], Command]

# Old and hasty senders put a space behind the colon; RFC 5321 3.3 forbids it, and it is never ambiguous.
_PATH: Final = r'(<(?:[^<>"\\ ]|"(?:[^"\\]|\\.)*+")*+>)(?: +(.*))?'
_FROM: Final = re.compile(rf"FROM: *{_PATH}", re.IGNORECASE)
_TO: Final = re.compile(rf"TO: *{_PATH}", re.IGNORECASE)
_NAME: Final = re.compile(r"[^\s\x00-\x20\x7f-\x9f]+")
_NAME_OCTETS: Final = 255
_CHUNK: Final = re.compile(r"([0-9]{1,20})( +LAST)?", re.IGNORECASE)
_BURL: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*:[!-~]+)( +LAST)?", re.IGNORECASE)
_MECHANISM: Final = re.compile(r"([A-Za-z0-9_-]{1,20})(?: +([^ ]+))?")


def decode_base64(text: str | bytes) -> bytes:
    """RFC 4954 4: strict base64; raises CommandFault."""
    try:
        return a2b_base64(text, strict_mode=True)
    except (Base64Error, ValueError) as error:
        raise CommandFault(AUTH_ENCODING) from error


def encode_base64(data: bytes) -> str:
    """Without line ends."""
    return b2a_base64(data, newline=False).decode("ascii")


def _name(text: str) -> str:
    if _NAME.fullmatch(text) is None or len(text) > _NAME_OCTETS:
        raise CommandFault(SYNTAX)
    return text


def parse_ehlo(text: str, _offered: Offered) -> Ehlo:
    """ehlo = "EHLO" SP ( Domain / address-literal ) CRLF"""
    return Ehlo(_name(text))


def parse_helo(text: str, _offered: Offered) -> Helo:
    """helo = "HELO" SP Domain CRLF"""
    return Helo(_name(text))


def parse_lhlo(text: str, _offered: Offered) -> Lhlo:
    """As EHLO (RFC 2033 4.1)."""
    return Lhlo(_name(text))


def parse_mail(text: str, offered: Offered) -> Mail:
    """mail = "MAIL FROM:" Reverse-path [SP Mail-parameters] CRLF"""
    match = _FROM.fullmatch(text)
    if match is None:
        raise CommandFault(SENDER_SYNTAX)
    path, rest = match.groups()
    try:
        reverse_path = parse_path(path)
    except AddressInvalid as error:
        raise CommandFault(SENDER_SYNTAX) from error
    if not rest:
        if not path.isascii():
            raise CommandFault(NEEDS_SMTPUTF8)
        return Mail(reverse_path)
    params = parse_mail_params(rest, offered)
    if not params.smtputf8 and not text.isascii():
        raise CommandFault(NEEDS_SMTPUTF8)
    return Mail(reverse_path, params)


def parse_rcpt(text: str, offered: Offered) -> Rcpt:
    """rcpt = "RCPT TO:" ( "<Postmaster@" Domain ">" / "<Postmaster>" / Forward-path ) [SP Rcpt-parameters] CRLF

    That a non-ASCII path needs SMTPUTF8 in its MAIL is judged by the connection.
    """
    match = _TO.fullmatch(text)
    if match is None:
        raise CommandFault(RECIPIENT_SYNTAX)
    path, rest = match.groups()
    try:
        forward_path = parse_path(path)
    except AddressInvalid as error:
        raise CommandFault(RECIPIENT_SYNTAX) from error
    if forward_path is None:
        raise CommandFault(RECIPIENT_SYNTAX)
    return Rcpt(forward_path, parse_rcpt_params(rest, offered)) if rest else Rcpt(forward_path)


def parse_bdat(text: str, _offered: Offered) -> Bdat:
    """bdat-cmd = "BDAT" SP chunk-size [ SP end-marker ] CRLF (RFC 3030 2)"""
    match = _CHUNK.fullmatch(text)
    if match is None:
        raise CommandFault(CHUNK_SYNTAX)
    return Bdat(int(match[1]), match[2] is not None)


def parse_burl(text: str, _offered: Offered) -> Burl:
    """burl-cmd = "BURL" SP absolute-URI [ SP end-marker ] CRLF (RFC 4468 3.5)"""
    match = _BURL.fullmatch(text)
    if match is None:
        raise CommandFault(URL_SYNTAX)
    return Burl(match[1], match[2] is not None)


def parse_auth(text: str, _offered: Offered) -> Auth:
    """AUTH mechanism [initial-response]; "=" is an empty initial response (RFC 4954 4)"""
    match = _MECHANISM.fullmatch(text)
    if match is None:
        raise CommandFault(SYNTAX)
    mechanism, initial = match.groups()
    if initial is None:
        return Auth(mechanism.upper())
    return Auth(mechanism.upper(), Secret(b"" if initial == "=" else decode_base64(initial)))


def parse_vrfy(text: str, _offered: Offered) -> Vrfy:
    """vrfy = "VRFY" SP String CRLF"""
    if not text:
        raise CommandFault(SYNTAX)
    return Vrfy(text)


def parse_expn(text: str, _offered: Offered) -> Expn:
    """expn = "EXPN" SP String CRLF"""
    if not text:
        raise CommandFault(SYNTAX)
    return Expn(text)


def _bare(command: Command) -> Parser:
    def parse(text: str, _offered: Offered) -> Command:
        if text:
            raise CommandFault(SYNTAX)  # RFC 5321 4.1.1: no parameters, no trailing text
        return command

    return parse


def _wordy(command: Command) -> Parser:
    def parse(_text: str, _offered: Offered) -> Command:
        return command

    return parse


COMMANDS: Final[dict[str, tuple[type[Command], Parser]]] = {
    "EHLO": (Ehlo, parse_ehlo),
    "HELO": (Helo, parse_helo),
    "MAIL": (Mail, parse_mail),
    "RCPT": (Rcpt, parse_rcpt),
    "DATA": (Data, _bare(Data())),
    "BDAT": (Bdat, parse_bdat),
    "BURL": (Burl, parse_burl),
    "RSET": (Rset, _bare(Rset())),
    "NOOP": (Noop, _wordy(Noop())),
    "QUIT": (Quit, _bare(Quit())),
    "HELP": (Help, _wordy(Help())),
    "VRFY": (Vrfy, parse_vrfy),
    "EXPN": (Expn, parse_expn),
    "STARTTLS": (StartTls, _bare(StartTls())),
    "AUTH": (Auth, parse_auth),
}
"""SMTP's verbs; LMTP's are in `lmtp`."""


def format_command(command: Command) -> bytes:
    """The line for the wire, with CRLF; raises LocalProtocolError rather than write two lines (A-22)."""
    line = _format(command)
    if not line.isprintable():
        raise LocalProtocolError("a control character inside a command")
    return line.encode() + b"\r\n"


def _format(command: Command) -> str:
    match command:
        case Mail():
            return f"MAIL FROM:{format_path(command.reverse_path).decode()}{format_mail_params(command.params)}"
        case Rcpt():
            return f"RCPT TO:{format_path(command.forward_path).decode()}{format_rcpt_params(command.params)}"
        case Bdat():
            return f"BDAT {command.size}{' LAST' if command.is_last else ''}"
        case Burl():
            return f"BURL {command.url}{' LAST' if command.is_last else ''}"
        case Ehlo() | Helo() | Lhlo():
            return f"{type(command).__name__.upper()} {command.name}"
        case Vrfy() | Expn():
            return f"{type(command).__name__.upper()} {command.text}"
        case Auth():
            initial = "" if command.initial is None else " " + (encode_base64(command.initial.reveal()) or "=")
            return f"AUTH {command.mechanism}{initial}"
        case Data() | Rset() | Noop() | Quit() | Help() | StartTls():
            return type(command).__name__.upper()
