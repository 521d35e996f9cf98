"""Parameters of MAIL and RCPT, and the extensions they belong to (RFC 5321 4.1.2, 1870, 3030, 3461, 4865, 4954, 6531, 8689).

    esmtp-param = esmtp-keyword ["=" esmtp-value]

One table a command; a parameter counts only where its extension was offered. xtext is strict both ways and may hide no
control character (A-22).
"""

import enum
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from postwren.protocols.smtp.hold import HoldFor, HoldUntil, format_hold, parse_hold_for, parse_hold_until
from postwren.protocols.smtp.path import AddressInvalid, parse_mailbox
from postwren.protocols.smtp.reply import SYNTAX, UNKNOWN_PARAMETER, CommandFault
from postwren.terms import Address

__all__ = [
    "Body",
    "CommandFault",
    "Extension",
    "MailParams",
    "Notify",
    "OriginalRecipient",
    "RcptParams",
    "Ret",
    "decode_xtext",
    "encode_unitext",
    "encode_xtext",
    "format_mail_params",
    "format_rcpt_params",
    "parse_mail_params",
    "parse_rcpt_params",
]


class Extension(enum.Enum):
    """EHLO keywords that we can offer."""

    PIPELINING = "PIPELINING"  # RFC 2920
    SIZE = "SIZE"  # RFC 1870
    EIGHTBITMIME = "8BITMIME"  # RFC 6152
    CHUNKING = "CHUNKING"  # RFC 3030
    BINARYMIME = "BINARYMIME"  # RFC 3030
    SMTPUTF8 = "SMTPUTF8"  # RFC 6531
    ENHANCEDSTATUSCODES = "ENHANCEDSTATUSCODES"  # RFC 2034
    STARTTLS = "STARTTLS"  # RFC 3207
    AUTH = "AUTH"  # RFC 4954
    DSN = "DSN"  # RFC 3461
    REQUIRETLS = "REQUIRETLS"  # RFC 8689
    LIMITS = "LIMITS"  # RFC 9422
    FUTURERELEASE = "FUTURERELEASE"  # RFC 4865
    BURL = "BURL"  # RFC 4468
    ONCE = "XONCE"  # ours (RFC 5321 2.2.2): submitted again under one token, it is sent once (docs/adr/0020-submission-token.md)


class Body(enum.Enum):
    """BODY= of RFC 6152 and RFC 3030."""

    SEVEN_BIT = "7BIT"
    EIGHT_BIT = "8BITMIME"
    BINARY = "BINARYMIME"


class Ret(enum.Enum):
    """RFC 3461 4.3."""

    FULL = "FULL"
    HDRS = "HDRS"


class Notify(enum.Enum):
    """RFC 3461 4.1."""

    NEVER = "NEVER"
    SUCCESS = "SUCCESS"
    FAILURE = "FAILURE"
    DELAY = "DELAY"


@dataclass(frozen=True, slots=True)
class OriginalRecipient:
    """ORCPT (RFC 3461 4.2): the address type and the address as it was given, decoded."""

    address_type: str
    address: str


@dataclass(frozen=True, slots=True)
class MailParams:
    """Parameters of MAIL. `auth` is an address, or "" for `AUTH=<>` (RFC 4954 5). `token` names the submission (ONCE)."""

    size: int | None = None
    body: Body | None = None
    smtputf8: bool = False
    ret: Ret | None = None
    envid: str | None = None
    auth: Address | str | None = None
    requiretls: bool = False
    token: str | None = None
    hold: HoldFor | HoldUntil | None = None


@dataclass(frozen=True, slots=True)
class RcptParams:
    """Parameters of RCPT; no NOTIFY is an empty set."""

    notify: frozenset[Notify] = frozenset()
    orcpt: OriginalRecipient | None = None

    def wishes(self) -> tuple[str, str]:
        """NOTIFY and ORCPT, decoded, as envelopes carry them: "SUCCESS,FAILURE" and "rfc822;ann@example.org"; "" is none."""
        notify = ",".join([notify.value for notify in Notify if notify in self.notify]) if self.notify else ""
        return notify, "" if self.orcpt is None else f"{self.orcpt.address_type};{self.orcpt.address}"


NO_MAIL_PARAMS: Final = MailParams()
NO_RCPT_PARAMS: Final = RcptParams()


_KEYWORD: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*")
_VALUE: Final = re.compile(r"[!-<>-~\x80-\U0010ffff]+")
_XTEXT: Final = re.compile(r"(?:[!-*,-<>-~]|\+[0-9A-F]{2})*")
_HEXCHAR: Final = re.compile(r"\+([0-9A-F]{2})")
_NOT_XCHAR: Final = re.compile(r"[^!-*,-<>-~]")
_PRINTABLE: Final = re.compile(r"[ -~]*")
_SIZE: Final = re.compile(r"[0-9]{1,20}")
_ADDRESS_TYPE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*")
_UNITEXT: Final = re.compile(r"\\x\{([0-9A-F]{2,6})\}")
_ENVID_OCTETS: Final = 100  # RFC 3461 4.4
_TOKEN_OCTETS: Final = 100
_ORCPT_OCTETS: Final = 500  # RFC 3461 4.2


def decode_xtext(text: str) -> str:
    """xtext = *( xchar / hexchar ) (RFC 3461 4); what it hides must be printable US-ASCII."""
    if _XTEXT.fullmatch(text) is None:
        raise CommandFault(SYNTAX)
    plain = _HEXCHAR.sub(lambda found: chr(int(found[1], 16)), text)
    if _PRINTABLE.fullmatch(plain) is None:
        raise CommandFault(SYNTAX)
    return plain


def encode_xtext(text: str) -> str:
    """The reverse of `decode_xtext`, for printable US-ASCII."""
    return _NOT_XCHAR.sub(lambda found: f"+{ord(found[0]):02X}", text)


def _parse_size(value: str) -> int:
    if _SIZE.fullmatch(value) is None:  # RFC 1870 4: 1*20DIGIT
        raise CommandFault(SYNTAX)
    return int(value)


def _parse_envid(value: str) -> str:
    if len(value) > _ENVID_OCTETS:
        raise CommandFault(SYNTAX)
    return decode_xtext(value)


def _parse_token(value: str) -> str:
    """xonce-value = xtext, of at most 100 octets and not empty."""
    if len(value) > _TOKEN_OCTETS or not (token := decode_xtext(value)).strip(" "):
        raise CommandFault(SYNTAX)
    return token


def _parse_auth(value: str) -> Address | str:
    plain = decode_xtext(value)
    if plain == "<>":
        return ""
    try:
        return parse_mailbox(plain)
    except AddressInvalid as error:
        raise CommandFault(SYNTAX) from error


def _parse_notify(value: str) -> frozenset[Notify]:
    """RFC 3461 4.1: NEVER alone, or a list of the others."""
    words = value.upper().split(",")
    if any(word not in Notify.__members__ for word in words) or (len(words) > 1 and "NEVER" in words):
        raise CommandFault(SYNTAX)
    return frozenset(Notify[word] for word in words)


def _parse_orcpt(value: str) -> OriginalRecipient:
    """original-recipient-address = addr-type ";" xtext; `utf-8` addresses also as RFC 6533 section 3 writes them."""
    kind, semicolon, text = value.partition(";")
    if len(value) > _ORCPT_OCTETS or not semicolon or not text or _ADDRESS_TYPE.fullmatch(kind) is None:
        raise CommandFault(SYNTAX)
    if kind.lower() != "utf-8":
        return OriginalRecipient(kind.lower(), decode_xtext(text))
    plain = _UNITEXT.sub(_unitext_char, text)
    if not plain.isprintable():
        raise CommandFault(SYNTAX)
    return OriginalRecipient("utf-8", plain)


def _unitext_char(found: re.Match[str]) -> str:
    point = int(found[1], 16)
    if point > 0x10FFFF or 0xD800 <= point <= 0xDFFF:
        raise CommandFault(SYNTAX)
    return chr(point)


def _one_of(kind: type[enum.Enum]) -> Callable[[str], Any]:
    def parse(value: str) -> Any:
        try:
            return kind(value.upper())
        except ValueError as error:
            raise CommandFault(SYNTAX) from error

    return parse


@dataclass(frozen=True, slots=True)
class _Parameter:
    """`parse` is None for a keyword without value."""

    field: str
    extension: Extension
    parse: Callable[[str], Any] | None


_MAIL: Final[dict[str, _Parameter]] = {
    "SIZE": _Parameter("size", Extension.SIZE, _parse_size),
    "BODY": _Parameter("body", Extension.EIGHTBITMIME, _one_of(Body)),
    "SMTPUTF8": _Parameter("smtputf8", Extension.SMTPUTF8, None),
    "RET": _Parameter("ret", Extension.DSN, _one_of(Ret)),
    "ENVID": _Parameter("envid", Extension.DSN, _parse_envid),
    "AUTH": _Parameter("auth", Extension.AUTH, _parse_auth),
    "REQUIRETLS": _Parameter("requiretls", Extension.REQUIRETLS, None),
    "XONCE": _Parameter("token", Extension.ONCE, _parse_token),
    "HOLDFOR": _Parameter("hold", Extension.FUTURERELEASE, parse_hold_for),  # one field: RFC 4865 3 wants one of the two
    "HOLDUNTIL": _Parameter("hold", Extension.FUTURERELEASE, parse_hold_until),
}
_RCPT: Final[dict[str, _Parameter]] = {
    "NOTIFY": _Parameter("notify", Extension.DSN, _parse_notify),
    "ORCPT": _Parameter("orcpt", Extension.DSN, _parse_orcpt),
}


def parse_mail_params(text: str, offered: frozenset[Extension]) -> MailParams:
    """Mail-parameters = esmtp-param *(SP esmtp-param); raises CommandFault."""
    if not text:
        return NO_MAIL_PARAMS
    params = MailParams(**_parse(text, _MAIL, offered))
    if params.body is Body.BINARY and Extension.BINARYMIME not in offered:
        raise CommandFault(UNKNOWN_PARAMETER)
    return params


def parse_rcpt_params(text: str, offered: frozenset[Extension]) -> RcptParams:
    """Rcpt-parameters = esmtp-param *(SP esmtp-param); raises CommandFault."""
    return RcptParams(**_parse(text, _RCPT, offered)) if text else NO_RCPT_PARAMS


def _parse(text: str, table: dict[str, _Parameter], offered: frozenset[Extension]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for word in text.split(" "):
        if not word:
            continue
        keyword, equals, value = word.partition("=")
        if _KEYWORD.fullmatch(keyword) is None:
            raise CommandFault(SYNTAX)
        parameter = table.get(keyword.upper())
        if parameter is None or parameter.extension not in offered:
            raise CommandFault(UNKNOWN_PARAMETER)
        if parameter.field in found or (parameter.parse is None) == bool(equals):
            raise CommandFault(SYNTAX)
        if parameter.parse is None:
            found[parameter.field] = True
        elif _VALUE.fullmatch(value) is None:
            raise CommandFault(SYNTAX)
        else:
            found[parameter.field] = parameter.parse(value)
    return found


def format_mail_params(params: MailParams) -> str:
    """With a leading space each."""
    if params is NO_MAIL_PARAMS:
        return ""
    words = []
    if params.size is not None:
        words.append(f" SIZE={params.size}")
    if params.body is not None:
        words.append(f" BODY={params.body.value}")
    if params.smtputf8:
        words.append(" SMTPUTF8")
    if params.ret is not None:
        words.append(f" RET={params.ret.value}")
    if params.envid is not None:
        words.append(f" ENVID={encode_xtext(params.envid)}")
    if params.auth is not None:
        words.append(f" AUTH={encode_xtext(str(params.auth) or '<>')}")
    if params.requiretls:
        words.append(" REQUIRETLS")
    if params.token is not None:
        words.append(f" XONCE={encode_xtext(params.token)}")
    if params.hold is not None:
        words.append(f" {format_hold(params.hold)}")
    return "".join(words)


def format_rcpt_params(params: RcptParams) -> str:
    """With a leading space each."""
    words = ""
    if params.notify:
        words = " NOTIFY=" + ",".join(notify.value for notify in Notify if notify in params.notify)
    if params.orcpt is not None:
        kind, address = params.orcpt.address_type, params.orcpt.address
        text = encode_unitext(address) if kind == "utf-8" else encode_xtext(address)
        words += f" ORCPT={kind};{text}"
    return words


def encode_unitext(text: str) -> str:
    """utf-8-addr-xtext of RFC 6533 section 3: pure ASCII, so that it may travel without SMTPUTF8."""
    return "".join(c if "!" <= c <= "~" and c not in "+=\\" else f"\\x{{{ord(c):02X}}}" for c in text)
