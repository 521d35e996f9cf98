"""GENURLAUTH, URLFETCH, RESETKEY (RFC 4467, 5524)."""

from dataclasses import dataclass

from postwren.protocols.imap.fault import Unparsable
from postwren.protocols.imap.primitive import Scanner
from postwren.protocols.imap.writer import Writer

__all__ = [
    "GenUrlAuth",
    "ResetKey",
    "UrlFetch",
    "UrlFetchItem",
    "format_gen_url_auth",
    "format_reset_key",
    "format_url_fetch",
    "parse_gen_url_auth",
    "parse_reset_key",
    "parse_url_fetch",
]


@dataclass(frozen=True, slots=True)
class GenUrlAuth:
    """(URL rump, mechanism) pairs."""

    urls: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class UrlFetchItem:
    """`extras`: BODY, BINARY, BODYPARTSTRUCTURE (RFC 5524); none for the plain form."""

    url: str
    extras: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class UrlFetch:
    items: tuple[UrlFetchItem, ...]


@dataclass(frozen=True, slots=True)
class ResetKey:
    """`mailbox` None: all keys of the account."""

    mailbox: str | None = None
    mechanisms: tuple[str, ...] = ()


_EXTRAS = ("BODY", "BINARY", "BODYPARTSTRUCTURE")


def parse_gen_url_auth(scanner: Scanner) -> GenUrlAuth:
    """`genurlauth = "GENURLAUTH" 1*(SP url-rump SP mechanism)`: an astring and an atom."""
    urls = []
    while not scanner.is_ended():
        scanner.count()
        scanner.space()
        url = scanner.text_string()
        scanner.space()
        urls.append((url, scanner.atom().decode("ascii").upper()))
    if not urls:
        raise Unparsable
    return GenUrlAuth(tuple(urls))


def format_gen_url_auth(writer: Writer, command: GenUrlAuth) -> None:
    writer.put(b"GENURLAUTH")
    for url, mechanism in command.urls:
        writer.put(b" ")
        writer.text(url)
        writer.put(b" ")
        writer.word(mechanism)


def parse_url_fetch(scanner: Scanner) -> UrlFetch:
    """`urlfetch = "URLFETCH" 1*(SP (url-full / "(" url-full *(SP url-fetch-param) ")"))`."""
    items = []
    while not scanner.is_ended():
        scanner.count()
        scanner.space()
        items.append(_parse_extended(scanner) if scanner.skip(b"(") else UrlFetchItem(scanner.text_string()))
    if not items:
        raise Unparsable
    return UrlFetch(tuple(items))


def _parse_extended(scanner: Scanner) -> UrlFetchItem:
    url = scanner.text_string()
    extras = []
    while scanner.skip(b" "):
        scanner.count()
        extras.append(scanner.keyword().decode("ascii"))
    scanner.expect(b")")
    if not all(extra in _EXTRAS for extra in extras):
        raise Unparsable
    return UrlFetchItem(url, tuple(extras))


def format_url_fetch(writer: Writer, command: UrlFetch) -> None:
    writer.put(b"URLFETCH")
    for item in command.items:
        writer.put(b" (" if item.extras else b" ")
        writer.text(item.url)
        for extra in item.extras:
            writer.put(b" ")
            writer.word(extra)
        if item.extras:
            writer.put(b")")


def parse_reset_key(scanner: Scanner) -> ResetKey:
    """`resetkey = "RESETKEY" [SP mailbox *(SP mechanism)]`."""
    if scanner.is_ended():
        return ResetKey()
    scanner.space()
    mailbox = scanner.mailbox()
    mechanisms = []
    while scanner.skip(b" "):
        scanner.count()
        mechanisms.append(scanner.atom().decode("ascii").upper())
    return ResetKey(mailbox, tuple(mechanisms))


def format_reset_key(writer: Writer, command: ResetKey) -> None:
    writer.put(b"RESETKEY")
    if command.mailbox is not None:
        writer.put(b" ")
        writer.mailbox(command.mailbox)
        for mechanism in command.mechanisms:
            writer.put(b" ")
            writer.word(mechanism)
