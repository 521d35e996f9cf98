"""Strings with macros (RFC 7208 section 7): parsed once, expanded for a connection. Pure and linear."""

import ipaddress
import re
from dataclasses import dataclass
from typing import Final, TypeAlias
from urllib.parse import quote

__all__ = [
    "Context",
    "IpAddress",
    "Macro",
    "MacroInvalid",
    "MacroString",
    "asks_client_name",
    "expand",
    "expand_name",
    "parse_macro",
]

IpAddress: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address


class MacroInvalid(Exception):
    """No macro-string."""


@dataclass(frozen=True, slots=True)
class Macro:
    """`%{letter digits r delimiters}`; `parts` 0 is all of them."""

    letter: str
    is_escaped: bool
    parts: int
    is_reversed: bool
    delimiters: str


MacroString: TypeAlias = tuple[str | Macro, ...]


@dataclass(frozen=True, slots=True)
class Context:
    """What macros speak of. `client_name` is the validated name of the address (`%{p}`), `hostname` ours, `now` seconds since
    1970."""

    ip: IpAddress
    helo: str
    local: str
    sender_domain: str
    domain: str
    hostname: str
    now: int
    client_name: str = "unknown"


_PIECE: Final = re.compile(r"%\{([a-zA-Z])([0-9]*)([rR]?)([-.+,/_=]*)\}|%([%_-])|([!-$&-~]+)|( +)")
_FIXED: Final = {"%": "%", "_": " ", "-": "%20"}
_LETTERS: Final = frozenset("slodiphv")
_EXPLANATION_LETTERS: Final = frozenset("crt")
_DELIMITERS: Final = re.compile(r"[-.+,/_=]")
_NAME_OCTETS: Final = 253  # section 7.3


def parse_macro(text: str, *, is_explanation: bool = False) -> MacroString:
    """macro-string = *( macro-expand / macro-literal ), with SP where it is an explain-string. Raises MacroInvalid."""
    pieces: list[str | Macro] = []
    end = 0
    while end < len(text):
        match = _PIECE.match(text, end)
        if match is None:
            raise MacroInvalid(f"no macro at {text[end : end + 20]!r}")
        letter, digits, reverse, delimiters, fixed, literal, spaces = match.groups()
        if spaces and not is_explanation:
            raise MacroInvalid("a space")
        if letter:
            pieces.append(_macro(letter, digits, bool(reverse), delimiters, is_explanation))
        else:
            pieces.append(literal or spaces or _FIXED[fixed])
        end = match.end()
    return tuple(pieces)


def _macro(letter: str, digits: str, is_reversed: bool, delimiters: str, is_explanation: bool) -> Macro:
    lower = letter.lower()
    if lower not in _LETTERS and not (is_explanation and lower in _EXPLANATION_LETTERS):
        raise MacroInvalid(f"%{{{letter}}} is no macro here")
    significant = digits.lstrip("0")
    if digits and not significant:
        raise MacroInvalid("a macro of no parts")  # section 7.3: the DIGIT must be nonzero
    parts = int(significant) if significant and len(significant) < 4 else 0
    return Macro(lower, letter != lower, parts, is_reversed, delimiters)


def asks_client_name(pieces: MacroString) -> bool:
    """Whether it has `%{p}`, which costs questions."""
    return any(isinstance(piece, Macro) and piece.letter == "p" for piece in pieces)


def expand(pieces: MacroString, context: Context, longest: int) -> str | None:
    """None: longer than that, or it would say what is not ASCII (RFC 8616 section 4: such a term matches nothing)."""
    out: list[str] = []
    length = 0
    for piece in pieces:
        text = piece if isinstance(piece, str) else _expand_macro(piece, context)
        if text is None:
            return None
        length += len(text)
        if length > longest:
            return None
        out.append(text)
    return "".join(out)


def expand_name(pieces: MacroString, context: Context, longest: int) -> str | None:
    """The domain name of a domain-spec: without the dot at its end, labels dropped from the left until the DNS can hold it."""
    text = expand(pieces, context, longest)
    if text is None:
        return None
    name = text.removesuffix(".")
    if len(name) <= _NAME_OCTETS:
        return name
    dot = name.find(".", len(name) - _NAME_OCTETS - 1)
    return name[dot + 1 :] if dot >= 0 else None


def _expand_macro(macro: Macro, context: Context) -> str | None:
    value = _value(macro.letter, context)
    if not value.isascii():
        return None
    if macro.delimiters or macro.parts or macro.is_reversed:
        parts = value.split(".") if macro.delimiters in ("", ".") else _split(value, macro.delimiters)
        if macro.is_reversed:
            parts.reverse()
        value = ".".join(parts[-macro.parts :] if macro.parts else parts)
    return quote(value, safe="") if macro.is_escaped else value


def _split(value: str, delimiters: str) -> list[str]:
    first = delimiters[0]
    return _DELIMITERS.sub(lambda match: first if match[0] in delimiters else match[0], value).split(first)


def _value(letter: str, context: Context) -> str:
    match letter:
        case "s":
            return f"{context.local}@{context.sender_domain}"
        case "l":
            return context.local
        case "o":
            return context.sender_domain
        case "d":
            return context.domain
        case "i":
            return str(context.ip) if context.ip.version == 4 else ".".join(context.ip.exploded.replace(":", "").upper())
        case "p":
            return context.client_name
        case "v":
            return "in-addr" if context.ip.version == 4 else "ip6"
        case "h":
            return context.helo
        case "c":
            return str(context.ip)
        case "r":
            return context.hostname
        case _:  # "t"
            return str(context.now)
