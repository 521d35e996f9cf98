"""Where the servers of an address are: the DNS (RFC 6186, RFC 8314 section 5.1), autoconfig by HTTPS, the domain of the MX, and
names that are usual. All are asked at once, within `PATIENCE`; `Source` is in the order of preference, with IMAP before POP3.

What must stay true (A-95): nothing is believed that came in the clear but the DNS, and no server is offered without TLS. A host
outside the address's domain, unless a signed answer of the DNS names it, is `foreign`: nothing connects to it before its user
agreed (RFC 6186 section 6), and then its certificate must be good for its own name, as everywhere.
"""

import asyncio
import enum
import re
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import quote

from postwren.client.conversation import Security, ServerFailed, TlsRefused
from postwren.client.https import Https, Web, WebFailed
from postwren.client.imap import ImapClient
from postwren.client.pop3 import Pop3Client
from postwren.sync.autoconfig import Advertised, AutoconfigInvalid, Service, is_hostname, parse_autoconfig
from postwren.transport.resolver import SystemResolver
from postwren.transport.tls import TlsFault
from postwren.wire.resolver import Answer, Kind, Mx, Resolver, ResolverFailed, Srv

__all__ = ["PATIENCE", "Found", "Ports", "Server", "Source", "discover", "knock"]

PATIENCE: Final = 10.0
_PATIENCE_OF_A_KNOCK: Final = 4.0
_MOST_TARGETS: Final = 4  # of one SRV answer
_MOST_KNOCKS: Final = 16
_SRV: Final[dict[str, tuple[Service, Security]]] = {
    "_imaps": ("imap", Security.IMPLICIT),
    "_imap": ("imap", Security.STARTTLS),
    "_pop3s": ("pop3", Security.IMPLICIT),
    "_pop3": ("pop3", Security.STARTTLS),
    "_submissions": ("submission", Security.IMPLICIT),
    "_submission": ("submission", Security.STARTTLS),
}
_USUAL: Final[tuple[tuple[Service, int, Security], ...]] = (
    ("imap", 993, Security.IMPLICIT),
    ("imap", 143, Security.STARTTLS),
    ("pop3", 995, Security.IMPLICIT),
    ("pop3", 110, Security.STARTTLS),
)
_USUAL_NAMES: Final = ("imap", "mail", "pop")
_NOT_FOR: Final[dict[Service, str]] = {"imap": "pop.", "pop3": "imap."}


class Source(enum.IntEnum):
    """Who says so, the more trusted first."""

    SRV = 1
    AUTOCONFIG = 2
    MX = 3
    GUESS = 4


@dataclass(frozen=True, slots=True)
class Server:
    """Where mail is fetched, or handed in. `by` is who says so, for its user; `login` is empty where it is the address."""

    service: Service
    host: str
    port: int
    tls: Security
    source: Source
    by: str
    is_foreign: bool
    login: str = ""


@dataclass(frozen=True, slots=True)
class Found:
    """`servers` are for fetching, the best first: each answers with TLS and a good certificate, but the foreign ones, which
    nobody asked yet. `submission` is what was said of handing in. `tried` says in clauses what came of what."""

    servers: tuple[Server, ...]
    submission: tuple[Server, ...]
    tried: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Ports:
    """The world outside. `knock` is "" where a server answers as it should, else why not."""

    resolver: Resolver
    web: Web
    knock: Callable[[Server], Awaitable[str]]

    @classmethod
    def real(cls, trusted: Path | None = None) -> "Ports":
        """`trusted` is a file of certificates instead of the system's. Raises ResolverFailed."""
        return cls(SystemResolver(), Https(trusted), lambda server: knock(server, trusted))


async def knock(server: Server, trusted: Path | None = None) -> str:
    """Connect, begin TLS, read the greeting, and leave. "" where all was well, else a clause that says what was not."""
    client = ImapClient if server.service == "imap" else Pop3Client
    try:
        async with asyncio.timeout(_PATIENCE_OF_A_KNOCK):
            async with client(server.host, server.port, security=server.tls, trusted=trusted):
                return ""
    except (ServerFailed, TlsFault, OSError) as error:
        return _why(error)


def _why(error: Exception) -> str:
    match error:
        case TlsRefused():
            return "does not go over to TLS"
        case ServerFailed():
            return "".join(sign if sign.isprintable() else "?" for sign in str(error)[:200])  # it may quote the server
        case ssl.SSLCertVerificationError():
            return f"has a certificate that cannot be trusted ({error.verify_message})"
        case TlsFault() | ssl.SSLError():
            return "does not speak TLS there"
        case socket.gaierror():
            return "is no host"
        case TimeoutError():
            return "does not answer"
        case ConnectionRefusedError():
            return "does not listen there"
    return f"cannot be reached ({error})"


async def discover(address: str, ports: Ports, patience: float = PATIENCE) -> Found:
    """Never raises for what others answer. Ends as soon as there is a server for IMAP that nothing pending is preferred to."""
    _, at, domain = address.lower().rpartition("@")
    if not at or not is_hostname(domain):
        return Found((), (), (f"{domain} is no domain that could be asked",))
    search = _Search(address, domain, ports)
    sources = [asyncio.create_task(work) for work in (search.srv(), search.autoconfig(), search.mx(), search.guess())]
    found: list[Server] = []
    try:
        async with asyncio.timeout(patience):
            for source in sources:
                found += await source
                if any(server.service == "imap" for server in found):
                    break
    except TimeoutError:
        search.tried.append(f"not everything answered within {patience:.0f} seconds")
        found = [server for source in sources if source.done() and not source.cancelled() for server in source.result()]
    finally:
        for source in sources:
            source.cancel()
        await asyncio.gather(*sources, return_exceptions=True)
    servers = dict.fromkeys(sorted((server for server in found if server.service != "submission"), key=_preference))
    return Found(tuple(servers), tuple(server for server in found if server.service == "submission"), tuple(search.tried))


def _preference(server: Server) -> tuple[bool, int]:
    return server.service != "imap", server.source


@dataclass(slots=True)
class _Search:
    address: str
    domain: str
    ports: Ports
    tried: list[str] = field(default_factory=list)
    withdrawn: set[tuple[Service, Security]] = field(default_factory=set)
    """What the domain says that it decidedly has not (a target of "." in RFC 2782)."""
    is_dns_failing: bool = False
    """What is not there may only be unknown: nothing is said of it."""
    answered: asyncio.Event = field(default_factory=asyncio.Event)
    """The domain's SRV answers are in, `withdrawn` too."""

    # -- the four sources

    async def srv(self) -> list[Server]:
        said = await self._srv_of(self.domain, Source.SRV)
        self.answered.set()
        return await self._that_answer(said)

    async def autoconfig(self) -> list[Server]:
        query = f"?emailaddress={quote(self.address, safe='@')}"
        return await self._that_answer(await self._autoconfig_of(self.domain, Source.AUTOCONFIG, query))

    async def mx(self) -> list[Server]:
        """What the domain that takes the mail says of itself; its web servers are not told whose address it is."""
        hosts = await self._mx_hosts()
        domains = _domains_above(hosts, self.domain)
        asked = [self._srv_of(domain, Source.MX) for domain in domains]
        asked += [self._autoconfig_of(domain, Source.MX, "") for domain in domains]
        said = [server for servers in await asyncio.gather(*asked) for server in servers]
        return await self._that_answer(said)

    async def guess(self) -> list[Server]:
        """Usual names; whoever keeps house alone often has one host for everything; and last, usual names where the mail goes."""
        hosts = await self._mx_hosts()
        own = [f"{name}.{self.domain}" for name in _USUAL_NAMES] + [host for host in hosts[:1] if self._is_ours(host)]
        said = await self._usual_of(list(dict.fromkeys(own)), "its usual name")
        await self.answered.wait()
        found = await self._that_answer([server for server in said if (server.service, server.tls) not in self.withdrawn])
        for domain in () if found else _domains_above(hosts, self.domain):
            names = [f"{name}.{domain}" for name in _USUAL_NAMES]
            found += (await self._usual_of(names, f"its usual name at {domain}, where the mail goes"))[:1]
        return found

    # -- what they are made of

    async def _srv_of(self, domain: str, source: Source) -> list[Server]:
        names = [f"{service}._tcp.{domain}" for service in _SRV]
        answers = await asyncio.gather(*(self._query(name, "SRV") for name in names))
        found: list[tuple[int, int, Server]] = []
        for (service, tls), name, answer in zip(_SRV.values(), names, answers, strict=True):
            records = [record for record in answer.records if isinstance(record, Srv)]
            if source is Source.SRV and any(not record.target for record in records):
                self.withdrawn.add((service, tls))
            for record in sorted(records, key=lambda record: (record.priority, -record.weight))[:_MOST_TARGETS]:
                if record.port and is_hostname(record.target):
                    is_foreign = not self._is_ours(record.target) and not (answer.is_secure and source is Source.SRV)
                    by = f"the DNS ({name})"
                    server = Server(service, record.target, record.port, tls, source, by, is_foreign)
                    found.append((tls is not Security.IMPLICIT, record.priority, server))
        if not found and not self.is_dns_failing:
            self.tried.append(f"the DNS has no servers at _imaps._tcp.{domain} and the like")
        return [server for *_, server in sorted(found, key=lambda entry: entry[:2])]

    async def _autoconfig_of(self, domain: str, source: Source, query: str) -> list[Server]:
        places = ((f"autoconfig.{domain}", "/mail/config-v1.1.xml"), (domain, "/.well-known/autoconfig/mail/config-v1.1.xml"))
        said = await asyncio.gather(*(self._document(host, path + query) for host, path in places))
        return [
            Server(of.service, of.host, of.port, of.tls, source, f"https://{host}", not self._is_ours(of.host), of.login)
            for (host, _), advertised in zip(places, said, strict=True)
            for of in advertised
        ]

    async def _document(self, host: str, target: str) -> Sequence[Advertised]:
        if not await self._is_there(host):  # the system's own look-up, behind a connection, could not be cancelled
            self._missed(host)
            return ()
        try:
            advertised = parse_autoconfig(await self.ports.web.get(host, target), self.address)
        except (WebFailed, AutoconfigInvalid) as error:
            self.tried.append(f"https://{host}: {error}")
            return ()
        if not advertised:
            self.tried.append(f"https://{host} names no server with TLS")
        return advertised

    async def _usual_of(self, names: Sequence[str], by: str) -> list[Server]:
        """At those of the hosts that there are."""
        are_there = await asyncio.gather(*map(self._is_there, names))
        there = [name for name, is_there in zip(names, are_there, strict=True) if is_there]
        self._missed(*(name for name in names if name not in there))
        return [
            Server(service, name, port, tls, Source.GUESS, by, not self._is_ours(name))
            for service, port, tls in _USUAL
            for name in there
            if not name.startswith(_NOT_FOR[service])
        ]

    def _missed(self, *hosts: str) -> None:
        if hosts and not self.is_dns_failing:
            self.tried.append(f"no host {' or '.join(hosts)}")

    async def _that_answer(self, said: Sequence[Server]) -> list[Server]:
        """Without those of ours that do not; the foreign ones are asked nothing."""
        said = said[:_MOST_KNOCKS]
        known = [server for server in said if not server.is_foreign and server.service != "submission"]
        failures = dict(zip(known, await asyncio.gather(*map(self.ports.knock, known)), strict=True))
        self.tried += [f"{server.host}:{server.port} {why}" for server, why in failures.items() if why]
        return [server for server in said if not failures.get(server)]

    def _is_ours(self, host: str) -> bool:
        return host == self.domain or host.endswith(f".{self.domain}")

    async def _is_there(self, name: str) -> bool:
        answers = await asyncio.gather(self._query(name, "A"), self._query(name, "AAAA"))
        return any(answer.records for answer in answers)

    async def _mx_hosts(self) -> list[str]:
        records = [record for record in (await self._query(self.domain, "MX")).records if isinstance(record, Mx)]
        return [record.host for record in sorted(records, key=lambda mx: mx.preference) if is_hostname(record.host)]

    async def _query(self, name: str, kind: Kind) -> Answer:
        try:
            return await self.ports.resolver.query(name, kind)
        except ResolverFailed:
            if not self.is_dns_failing:
                self.is_dns_failing = True
                self.tried.append("the DNS does not answer: is there a network?")
            return Answer()


def _domains_above(hosts: Iterable[str], own: str) -> list[str]:
    """The domains of MX hosts: without the first label, and the last two labels where they are somebody's."""
    found: dict[str, None] = {}
    for host in list(hosts)[:2]:
        above = host.partition(".")[2]
        found[above] = None
        found[".".join(above.split(".")[-2:])] = None
    return [domain for domain in found if domain != own and not _is_public(domain)]


def _is_public(domain: str) -> bool:
    """Whether anybody may own names below it, as in `co.uk`: somebody may own `autoconfig.co.uk`. A few private ones look so
    too, and are not asked."""
    return re.fullmatch(r"[^.]*|[^.]{1,3}\.[^.]{2}", domain) is not None
