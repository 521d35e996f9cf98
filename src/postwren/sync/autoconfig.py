"""The XML in which providers publish their servers (`mail/config-v1.1.xml`, as Mozilla's programs read it).

    parse_autoconfig(octets, "ann@example.org")  ->  (Advertised("imap", "imap.example.org", 993, Security.IMPLICIT, ...), ...)

What must stay true: no DTD, no entity, nothing loaded from elsewhere; what is nested, long or many beyond the limits is refused;
a server without TLS is passed over (A-95).
"""

import re
from dataclasses import dataclass
from typing import Final, Literal
from xml.parsers import expat

from postwren.client.conversation import Security

__all__ = ["Advertised", "AutoconfigInvalid", "Service", "is_hostname", "parse_autoconfig"]

Service = Literal["imap", "pop3", "submission"]
LONGEST: Final = 64 << 10
DEEPEST: Final = 16
MOST_SERVERS: Final = 32
_LONGEST_TEXT: Final = 512
_HOSTNAME: Final = re.compile(r"(?=.{1,253}\Z)(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_KINDS: Final[dict[tuple[str, str], Service]] = {
    ("incomingServer", "imap"): "imap",
    ("incomingServer", "pop3"): "pop3",
    ("outgoingServer", "smtp"): "submission",
}
_TLS: Final = {"SSL": Security.IMPLICIT, "STARTTLS": Security.STARTTLS}  # "plain" is not for us
_PROVIDER: Final = ("clientConfig", "emailProvider")


class AutoconfigInvalid(Exception):
    """Not such a document, or one that must not be read; the text says why."""


@dataclass(frozen=True, slots=True)
class Advertised:
    """A server, as somebody says. `login` is empty where nothing is said of it."""

    service: Service
    host: str
    port: int
    tls: Security
    login: str = ""


def is_hostname(name: str) -> bool:
    """Whether it is a name in lower case that a certificate can be for: neither an address nor anything a terminal would obey."""
    return _HOSTNAME.fullmatch(name) is not None and not name.rpartition(".")[2].isdigit()


def parse_autoconfig(octets: bytes, address: str) -> tuple[Advertised, ...]:
    """Its servers in its order, for the owner of `address`. Raises AutoconfigInvalid."""
    if len(octets) > LONGEST:
        raise AutoconfigInvalid("it is too long")
    reader = _Reader(address)
    parser = expat.ParserCreate("utf-8")  # whatever it declares: no other decoder is let at it
    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = _refuse
    parser.EntityDeclHandler = _refuse
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.text
    try:
        parser.Parse(octets, True)
    except expat.ExpatError as error:
        raise AutoconfigInvalid(f"it is no XML ({expat.ErrorString(error.code)})") from None
    return tuple(reader.servers)


def _refuse(*_: object) -> None:
    raise AutoconfigInvalid("it declares a document type, which is not read")


class _Reader:
    """Walks the document; keeps what is directly in a server's element, and nothing of any other."""

    def __init__(self, address: str) -> None:
        local, _, domain = address.rpartition("@")
        self._values = {"%EMAILADDRESS%": address, "%EMAILLOCALPART%": local, "%EMAILDOMAIN%": domain}
        self._path: list[str] = []
        self._service: Service | None = None
        self._given: dict[str, str] = {}
        self._text = ""
        self.servers: list[Advertised] = []

    def start(self, name: str, attributes: dict[str, str]) -> None:
        if len(self._path) >= DEEPEST:
            raise AutoconfigInvalid("it is nested too deeply")
        self._path.append(name)
        self._text = ""
        if len(self._path) == 3 and tuple(self._path[:2]) == _PROVIDER:
            self._service = _KINDS.get((name, attributes.get("type", "").lower()))
            self._given = {}

    def text(self, data: str) -> None:
        if self._service is not None and len(self._path) == 4:
            self._text += data[: _LONGEST_TEXT + 1 - len(self._text)]

    def end(self, name: str) -> None:
        depth = len(self._path)
        if self._service is not None and depth == 4:
            self._given.setdefault(name, self._filled(self._text.strip()))
        elif self._service is not None and depth == 3:
            self._add(self._service)
            self._service = None
        self._path.pop()
        self._text = ""

    def _filled(self, text: str) -> str:
        """With the placeholders replaced, each once: what is put in is not looked at again."""
        return re.sub("|".join(self._values), lambda found: self._values[found[0]], text)

    def _add(self, service: Service) -> None:
        host, port, login = (self._given.get(name, "") for name in ("hostname", "port", "username"))
        tls = _TLS.get(self._given.get("socketType", "").upper())
        host = host.lower().rstrip(".")
        if tls is None or not is_hostname(host) or not re.fullmatch("[1-9][0-9]{0,4}", port) or int(port) > 65535:
            return
        if len(login) > _LONGEST_TEXT or not login.isprintable() or "%" in login.replace(self._values["%EMAILADDRESS%"], ""):
            return
        if len(self.servers) >= MOST_SERVERS:
            raise AutoconfigInvalid("it names too many servers")
        self.servers.append(Advertised(service, host, int(port), tls, login))
