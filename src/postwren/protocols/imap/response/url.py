"""URLFETCH and GENURLAUTH (RFC 4467 section 7, RFC 5524 section 3)."""

from dataclasses import dataclass

from postwren.protocols.imap.reader import Reader
from postwren.protocols.imap.value import format_astring, format_octets

__all__ = [
    "FetchedUrl",
    "GeneratedUrls",
    "UrlsFetched",
    "format_generated_urls",
    "format_urls_fetched",
    "parse_generated_urls",
    "parse_urls_fetched",
]


@dataclass(frozen=True, slots=True)
class FetchedUrl:
    """`octets` None: the URL leads to nothing, or to nothing for us. With `extras` it is the form of RFC 5524: (BODY or BINARY,
    octets), (BODYPARTSTRUCTURE, the structure as it stands on the wire); `octets` is None then."""

    url: str
    octets: bytes | None = None
    extras: tuple[tuple[str, bytes | None], ...] = ()


@dataclass(frozen=True, slots=True)
class UrlsFetched:
    """URLFETCH."""

    urls: tuple[FetchedUrl, ...]


@dataclass(frozen=True, slots=True)
class GeneratedUrls:
    """GENURLAUTH, in the order of the command."""

    urls: tuple[str, ...]


def format_urls_fetched(response: UrlsFetched, is_utf8: bool) -> bytes:
    """urlfetch-data"""
    pieces = [b"* URLFETCH"]
    for item in response.urls:
        pieces.append(format_astring(item.url, is_utf8))
        pieces += [_extra(name, octets) for name, octets in item.extras] or [format_octets(item.octets)]
    return b" ".join(pieces) + b"\r\n"


def _extra(name: str, octets: bytes | None) -> bytes:
    is_rendered = name == "BODYPARTSTRUCTURE" and octets is not None
    return b"(%b %b)" % (name.encode(), octets if is_rendered and octets else format_octets(octets))


def format_generated_urls(response: GeneratedUrls, is_utf8: bool) -> bytes:
    """genurlauth-data"""
    return b" ".join([b"* GENURLAUTH", *[format_astring(url, is_utf8) for url in response.urls]]) + b"\r\n"


def parse_urls_fetched(reader: Reader) -> UrlsFetched:
    """urlfetch-data, behind the word"""
    items = []
    while not reader.is_ended():
        reader.space()
        if reader.is_ended():
            break
        url = reader.atext()
        if not reader.is_at(b" ("):
            reader.space()
            items.append(FetchedUrl(url, reader.nstring()))
            continue
        extras: list[tuple[str, bytes | None]] = []
        while reader.is_at(b" ("):
            reader.space()
            extras += reader.parenthesized(lambda: _parse_extra(reader))
        items.append(FetchedUrl(url, None, tuple(extras)))
    return UrlsFetched(tuple(items))


def _parse_extra(reader: Reader) -> tuple[str, bytes | None]:
    name = reader.keyword().decode()
    reader.space()
    if not reader.is_at(b"("):
        return name, reader.nstring()
    start = reader.position
    reader.tree()
    return name, reader.text[start : reader.position]


def parse_generated_urls(reader: Reader) -> GeneratedUrls:
    """genurlauth-data, behind the word"""
    urls = []
    while not reader.is_ended():
        reader.space()
        urls.append(reader.atext())
    return GeneratedUrls(tuple(urls))
