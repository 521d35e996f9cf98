"""SPF policies (RFC 7208 sections 4.5, 4.6.1, 5, 6 and 12). Pure, linear; everything is parsed before anything is evaluated.

record = version terms *SP
"""

import ipaddress
import re
from dataclasses import dataclass
from typing import Final, TypeAlias

from postwren.mailauth.spf.macro import Macro, MacroInvalid, MacroString, parse_macro
from postwren.mailauth.verdict import Verdict

__all__ = [
    "All",
    "ClientName",
    "Directive",
    "Exists",
    "Host",
    "Include",
    "Mechanism",
    "Network",
    "SpfInvalid",
    "SpfRecord",
    "is_spf",
    "parse_record",
]


class SpfInvalid(Exception):
    """Published, and no policy: what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Network:
    """ip4 and ip6."""

    network: ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class Host:
    """a and mx: addresses of a name within a prefix. `domain` None is the current one."""

    is_mx: bool
    domain: MacroString | None
    prefix4: int
    prefix6: int


@dataclass(frozen=True, slots=True)
class Include:
    """When that policy passes."""

    domain: MacroString


@dataclass(frozen=True, slots=True)
class Exists:
    """When the name has an address."""

    domain: MacroString


@dataclass(frozen=True, slots=True)
class ClientName:
    """ptr: when a name of the address is the domain or below it. None is the current one."""

    domain: MacroString | None


@dataclass(frozen=True, slots=True)
class All:
    """Always."""


Mechanism: TypeAlias = All | Network | Host | Include | Exists | ClientName


@dataclass(frozen=True, slots=True)
class Directive:
    """When the mechanism matches, `verdict`. `text` is the term as published."""

    verdict: Verdict
    mechanism: Mechanism
    text: str


@dataclass(frozen=True, slots=True)
class SpfRecord:
    """A policy. The first directive that matches decides, behind all of them `redirect`."""

    directives: tuple[Directive, ...] = ()
    redirect: MacroString | None = None
    explanation: MacroString | None = None


_QUALIFIERS: Final = {"+": Verdict.PASS, "-": Verdict.FAIL, "~": Verdict.SOFTFAIL, "?": Verdict.NEUTRAL}
_MODIFIER: Final = re.compile(r"([A-Za-z][A-Za-z0-9_.-]*)=(.*)")
_MECHANISM: Final = re.compile(r"([A-Za-z0-9]+)(.*)")
_CIDR: Final = re.compile(r"(?:/(0|[1-9][0-9]?))?(?://(0|[1-9][0-9]{0,2}))?\Z")
_PREFIX: Final = re.compile(r"/(0|[1-9][0-9]{0,2})\Z")
_TOPLABEL: Final = re.compile(r"\.(?:[A-Za-z0-9]*[A-Za-z][A-Za-z0-9]*|[A-Za-z0-9]+-[A-Za-z0-9-]*[A-Za-z0-9])\.?\Z")


def is_spf(text: bytes) -> bool:
    """Section 4.5: a TXT record that is an SPF policy, well made or not."""
    return text[:6].lower() == b"v=spf1" and text[6:7] in (b"", b" ")


def parse_record(text: bytes, longest: int = 8192) -> SpfRecord:
    """`text` is one that `is_spf`. Raises SpfInvalid."""
    if len(text) > longest:
        raise SpfInvalid(f"a policy above {longest} octets")
    if not text.isascii():
        raise SpfInvalid("a policy that is not ASCII")
    directives: list[Directive] = []
    modifiers: dict[str, MacroString] = {}
    try:
        for term in filter(None, text[6:].decode("ascii").split(" ")):
            modifier = _MODIFIER.fullmatch(term)
            if modifier is None:
                directives.append(_directive(term))
            else:
                _modifier(modifier[1].lower(), modifier[2], modifiers)
    except MacroInvalid as error:
        raise SpfInvalid(str(error)) from error
    return SpfRecord(tuple(directives), modifiers.get("redirect"), modifiers.get("exp"))


def _modifier(name: str, value: str, modifiers: dict[str, MacroString]) -> None:
    """modifier = redirect / explanation / unknown-modifier; unknown ones are ignored when they are well made (section 6)."""
    if name not in ("redirect", "exp"):
        parse_macro(value, is_explanation=True)
        return
    if name in modifiers:
        raise SpfInvalid(f"{name}= twice")
    modifiers[name] = _domain_spec(value)


def _directive(term: str) -> Directive:
    """directive = [ qualifier ] mechanism"""
    verdict = _QUALIFIERS.get(term[0])
    match = _MECHANISM.fullmatch(term if verdict is None else term[1:])
    if match is None:
        raise SpfInvalid(f"{term[:40]!r} is no term")
    return Directive(verdict or Verdict.PASS, _mechanism(match[1].lower(), match[2]), term)


def _mechanism(name: str, rest: str) -> Mechanism:
    match name:
        case "all" if not rest:
            return All()
        case "ip4" | "ip6" if rest[:1] == ":":
            return Network(_network(name, rest[1:]))
        case "a" | "mx":
            return _host(name == "mx", rest)
        case "include" if rest[:1] == ":":
            return Include(_domain_spec(rest[1:]))
        case "exists" if rest[:1] == ":":
            return Exists(_domain_spec(rest[1:]))
        case "ptr" if not rest or rest[0] == ":":
            return ClientName(_domain_spec(rest[1:]) if rest else None)
    raise SpfInvalid(f"{(name + rest)[:40]!r} is no mechanism")


def _host(is_mx: bool, rest: str) -> Host:
    """A = "a" [ ":" domain-spec ] [ dual-cidr-length ]"""
    cidr = _CIDR.search(rest)  # slashes may stand in a domain-spec too: the lengths are what the end can be read as
    prefixes = cidr.groups() if cidr else (None, None)
    domain = rest[: cidr.start()] if cidr else rest
    if domain and domain[0] != ":":
        raise SpfInvalid(f"{rest[:40]!r} is no target")
    prefix4, prefix6 = (None if text is None else int(text) for text in prefixes)
    if (prefix4 or 0) > 32 or (prefix6 or 0) > 128:
        raise SpfInvalid("a prefix longer than an address")
    return Host(
        is_mx,
        _domain_spec(domain[1:]) if domain else None,
        32 if prefix4 is None else prefix4,
        128 if prefix6 is None else prefix6,
    )


def _network(name: str, text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    """ip4-network [ ip4-cidr-length ]; section 5.6: bits behind the prefix are ignored."""
    slash = text.find("/")
    address, prefix = (text, "") if slash < 0 else (text[:slash], text[slash:])
    if (prefix and _PREFIX.match(prefix) is None) or "%" in address:
        raise SpfInvalid(f"{text[:60]!r} is no network")
    try:
        if name == "ip4":
            return ipaddress.IPv4Network(address + prefix, strict=False)
        return ipaddress.IPv6Network(address + prefix, strict=False)
    except ValueError:
        raise SpfInvalid(f"{text[:60]!r} is no network") from None


def _domain_spec(text: str) -> MacroString:
    """domain-spec = macro-string domain-end; domain-end = ( "." toplabel [ "." ] ) / macro-expand"""
    pieces = parse_macro(text)
    if not pieces:
        raise SpfInvalid("an empty domain")
    if not isinstance(pieces[-1], Macro) and not _ends_in_macro(text) and _TOPLABEL.search(text) is None:
        raise SpfInvalid(f"{text[:60]!r} is no domain")
    return pieces


def _ends_in_macro(text: str) -> bool:
    """Of a macro-string: in `%%`, `%_` or `%-`."""
    before = text[:-1]
    percents = len(before) - len(before.rstrip("%"))
    return text[-1] == "%" or (text[-1] in "_-" and percents % 2 == 1)
