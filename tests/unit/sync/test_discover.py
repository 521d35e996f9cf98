"""Where the servers of an address are (RFC 6186, RFC 2782, RFC 8314 section 5.1), asked of scripted worlds, also hostile ones
(A-95)."""

import asyncio
from collections.abc import Mapping

import pytest

from postwren.client.conversation import Security
from postwren.client.https import WebFailed
from postwren.sync.discover import Found, Ports, Server, Source, discover
from postwren.testing.resolver import ScriptedResolver
from postwren.wire.resolver import HostAddress, Kind, Mx, Record, Srv

ADDRESS = "ann@example.org"
HERE: list[Record] = [HostAddress("192.0.2.1")]
Zone = dict[tuple[str, Kind], list[Record]]


class World:
    """A resolver, web pages by `https://HOST/PATH`, and the servers that answer, as HOST:PORT."""

    def __init__(
        self, zone: Zone, pages: Mapping[str, bytes | None] | None = None, answering: tuple[str, ...] = (), **more: object
    ) -> None:
        self.pages = pages or {}
        webs: Zone = dict.fromkeys(((url.split("/")[2], "A") for url in self.pages), HERE)
        self.resolver = ScriptedResolver({**zone, **webs}, **more)  # type: ignore[arg-type]
        self.answering = answering
        self.knocked: list[str] = []
        self.fetched: list[str] = []

    async def get(self, host: str, target: str) -> bytes:
        self.fetched.append(f"https://{host}{target}")
        page = self.pages.get(f"https://{host}{target.partition('?')[0]}", b"")
        if page is None:
            await asyncio.get_running_loop().create_future()
        if not page:
            raise WebFailed("answered 404")
        return page

    async def knock(self, server: Server) -> str:
        self.knocked.append(f"{server.host}:{server.port}")
        return "" if self.knocked[-1] in self.answering else "does not listen there"

    def discover(self, address: str = ADDRESS, patience: float = 10.0) -> Found:
        return asyncio.run(discover(address, Ports(self.resolver, self, self.knock), patience))


def servers(found: Found) -> list[tuple[str, str, int, Security]]:
    return [(server.service, server.host, server.port, server.tls) for server in found.servers]


def srv(service: str, port: int, target: str, priority: int = 0, weight: int = 0, domain: str = "example.org") -> Zone:
    return {(f"_{service}._tcp.{domain}", "SRV"): [Srv(priority, weight, port, target)]}


def page(*incoming: str, outgoing: str = "") -> bytes:
    return (
        f'<clientConfig version="1.1"><emailProvider id="x">{"".join(incoming)}{outgoing}</emailProvider></clientConfig>'.encode()
    )


def entry(host: str, kind: str = "imap", port: int = 993, tls: str = "SSL", login: str = "%EMAILADDRESS%") -> str:
    tag = "outgoingServer" if kind == "smtp" else "incomingServer"
    return (
        f'<{tag} type="{kind}"><hostname>{host}</hostname><port>{port}</port><socketType>{tls}</socketType>'
        f"<username>{login}</username></{tag}>"
    )


AUTOCONFIG = "https://autoconfig.example.org/mail/config-v1.1.xml"
WELL_KNOWN = "https://example.org/.well-known/autoconfig/mail/config-v1.1.xml"


def test_rfc_6186_the_dns_says_where_the_servers_are() -> None:
    zone = srv("imaps", 9993, "in.example.org") | srv("pop3s", 995, "in.example.org") | srv("submissions", 465, "out.example.org")
    found = World(zone, answering=("in.example.org:9993", "in.example.org:995")).discover()
    assert servers(found) == [
        ("imap", "in.example.org", 9993, Security.IMPLICIT),
        ("pop3", "in.example.org", 995, Security.IMPLICIT),
    ]
    assert [(server.host, server.port) for server in found.submission] == [("out.example.org", 465)]
    assert not any(server.is_foreign for server in found.servers)


def test_imap_is_preferred_to_pop3_and_tls_at_once_to_starttls() -> None:
    zone = srv("pop3s", 995, "a.example.org") | srv("imap", 143, "b.example.org") | srv("imaps", 993, "c.example.org", 9)
    found = World(zone, answering=("a.example.org:995", "b.example.org:143", "c.example.org:993")).discover()
    assert [(server.host, server.tls) for server in found.servers] == [
        ("c.example.org", Security.IMPLICIT),
        ("b.example.org", Security.STARTTLS),
        ("a.example.org", Security.IMPLICIT),
    ]


def test_rfc_2782_priority_then_weight_and_whoever_does_not_answer_is_passed_over() -> None:
    records: list[Record] = [
        Srv(20, 0, 993, "last.example.org"),
        Srv(10, 1, 993, "light.example.org"),
        Srv(10, 9, 993, "heavy.example.org"),
        Srv(0, 0, 993, "dead.example.org"),
    ]
    answering = ("last.example.org:993", "light.example.org:993", "heavy.example.org:993")
    found = World({("_imaps._tcp.example.org", "SRV"): records}, answering=answering).discover()
    assert [server.host for server in found.servers] == ["heavy.example.org", "light.example.org", "last.example.org"]
    assert "dead.example.org:993 does not listen there" in found.tried


def test_a95_a_host_outside_the_domain_is_marked_and_nothing_connects_to_it() -> None:
    world = World(srv("imaps", 993, "imap.evil.example"), answering=("imap.evil.example:993",))
    found = world.discover()
    assert [(server.host, server.is_foreign) for server in found.servers] == [("imap.evil.example", True)]
    assert world.knocked == []


@pytest.mark.parametrize("target", ["notexample.org", "example.org.evil.example", "evilexample.org"])
def test_a95_a_name_that_only_looks_like_the_domain_is_foreign(target: str) -> None:
    assert World(srv("imaps", 993, target)).discover().servers[0].is_foreign


def test_a_signed_answer_may_name_any_host() -> None:
    world = World(srv("imaps", 993, "imap.isp.example"), is_secure=True, answering=("imap.isp.example:993",))
    assert [(server.host, server.is_foreign) for server in world.discover().servers] == [("imap.isp.example", False)]


def test_a95_a_signed_answer_of_the_domain_of_the_mx_proves_nothing_of_ours() -> None:
    zone = srv("imaps", 993, "in.isp.example", domain="isp.example")
    zone["example.org", "MX"] = [Mx(10, "mx.isp.example")]
    assert World(zone, is_secure=True).discover().servers[0].is_foreign


@pytest.mark.parametrize(
    "target", ["192.0.2.1", "\x1b[2j.example.org", "a b.example.org", "-.example.org", "x" * 64 + ".example.org", ""]
)
def test_a95_a_target_that_is_no_name_is_not_believed(target: str) -> None:
    world = World(srv("imaps", 993, target))
    assert world.discover().servers == ()
    assert world.knocked == []


def test_autoconfig_says_servers_and_logins() -> None:
    text = page(entry("mail.example.org", login="%EMAILLOCALPART%"), outgoing=entry("mail.example.org", "smtp", 465))
    found = World({}, {AUTOCONFIG: text}, ("mail.example.org:993",)).discover()
    assert [(server.host, server.login, server.source) for server in found.servers] == [
        ("mail.example.org", "ann", Source.AUTOCONFIG)
    ]
    assert [server.port for server in found.submission] == [465]


def test_a_web_server_that_has_no_address_is_not_looked_for() -> None:
    world = World({})
    assert "no host autoconfig.example.org" in world.discover().tried
    assert world.fetched == []


def test_autoconfig_is_found_at_the_well_known_place_too() -> None:
    assert World({}, {WELL_KNOWN: page(entry("mail.example.org"))}, ("mail.example.org:993",)).discover().servers


def test_autoconfig_that_names_a_foreign_host_must_be_agreed_to() -> None:
    world = World({}, {AUTOCONFIG: page(entry("imap.isp.example"))}, ("imap.isp.example:993",))
    assert [server.is_foreign for server in world.discover().servers] == [True]
    assert world.knocked == []


def test_the_dns_goes_before_autoconfig_and_that_before_usual_names() -> None:
    zone = srv("imaps", 993, "srv.example.org")
    zone["imap.example.org", "A"] = HERE
    pages = {AUTOCONFIG: page(entry("auto.example.org"))}
    answering = ("srv.example.org:993", "auto.example.org:993", "imap.example.org:993")
    for left in (answering, answering[1:], answering[2:]):
        assert f"{World(zone, pages, left).discover().servers[0].host}:993" == left[0]


def test_the_domain_of_the_mx_is_asked_and_its_web_server_not_told_whose_address_it_is() -> None:
    zone: Zone = {("example.org", "MX"): [Mx(10, "mx1.mail.isp.example")]}
    pages = {"https://autoconfig.isp.example/mail/config-v1.1.xml": page(entry("imap.isp.example"))}
    world = World(zone, pages)
    assert [(server.host, server.is_foreign, server.source) for server in world.discover().servers] == [
        ("imap.isp.example", True, Source.MX)
    ]
    assert not any("ann" in url for url in world.fetched if "isp.example" in url)


def test_nobody_is_asked_at_a_suffix_below_which_anybody_may_own_names() -> None:
    world = World({("example.org", "MX"): [Mx(10, "mx.isp.co.uk"), Mx(20, "isp.com.au"), Mx(30, "uk")]})
    world.discover()
    assert not any(name.endswith(("tcp.co.uk", "tcp.com.au", "tcp.uk")) for name, _ in world.resolver.asked)
    assert not any("//autoconfig.co.uk" in url or "//co.uk" in url or "com.au" in url for url in world.fetched)


def test_usual_names_are_tried_with_tls_only() -> None:
    zone: Zone = {("imap.example.org", "A"): HERE, ("mail.example.org", "AAAA"): HERE}
    world = World(zone, answering=("mail.example.org:143", "mail.example.org:995"))
    assert servers(world.discover()) == [
        ("imap", "mail.example.org", 143, Security.STARTTLS),
        ("pop3", "mail.example.org", 995, Security.IMPLICIT),
    ]
    assert not any(name.startswith("pop.") for name in world.knocked), "it has no address"


def test_the_mx_of_a_small_house_serves_mailboxes_too() -> None:
    zone: Zone = {("example.org", "MX"): [Mx(10, "home.example.org")], ("home.example.org", "A"): HERE}
    assert servers(World(zone, answering=("home.example.org:993",)).discover()) == [
        ("imap", "home.example.org", 993, Security.IMPLICIT)
    ]


def test_rfc_2782_what_the_domain_says_that_it_has_not_is_not_guessed() -> None:
    zone = srv("imaps", 0, "") | srv("imap", 0, "")
    zone["mail.example.org", "A"] = HERE
    world = World(zone, answering=("mail.example.org:993", "mail.example.org:143", "mail.example.org:995"))
    assert [server.service for server in world.discover().servers] == ["pop3"]


def test_usual_names_where_the_mail_goes_come_last_and_must_be_agreed_to() -> None:
    zone: Zone = {("example.org", "MX"): [Mx(10, "mx.isp.example")], ("imap.isp.example", "A"): HERE}
    world = World(zone)
    assert [(server.host, server.port, server.is_foreign) for server in world.discover().servers] == [
        ("imap.isp.example", 993, True)
    ]
    assert world.knocked == []


def test_what_never_answers_costs_no_more_than_the_patience_and_hides_nothing_that_did() -> None:
    zone: Zone = {("mail.example.org", "A"): HERE}
    world = World(zone, {AUTOCONFIG: None}, ("mail.example.org:993",))
    found = world.discover(patience=0.05)
    assert servers(found) == [("imap", "mail.example.org", 993, Security.IMPLICIT)]
    assert any("not everything answered" in clause for clause in found.tried)


def test_what_is_preferred_is_not_waited_for_behind_what_is_not() -> None:
    world = World(srv("imaps", 993, "in.example.org"), {AUTOCONFIG: None, WELL_KNOWN: None}, ("in.example.org:993",))
    assert world.discover(patience=600).servers


def test_a_failing_dns_is_said_and_what_nobody_knows_is_not_called_missing() -> None:
    class Failing:
        def __contains__(self, name: object) -> bool:
            return True

    found = World({}, failing=Failing()).discover()
    assert found.servers == ()
    assert found.tried == ("the DNS does not answer: is there a network?",)


@pytest.mark.parametrize("address", ["ann@[127.0.0.1]", "ann@127.0.0.1", "ann", "ann@ex ample.org"])
def test_what_is_no_domain_is_asked_nothing(address: str) -> None:
    world = World({})
    assert world.discover(address).servers == ()
    assert world.resolver.asked == []
    assert world.fetched == []


def test_many_answers_are_not_many_connections() -> None:
    records: list[Record] = [Srv(0, 0, 993, f"h{number}.example.org") for number in range(1000)]
    named = World({(f"_{name}._tcp.example.org", "SRV"): records for name in ("imaps", "imap", "pop3s", "pop3")})
    advertised = World({}, {AUTOCONFIG: page(*(entry("mail.example.org", port=port) for port in range(1, 33)))})
    for world in (named, advertised):
        world.discover()
        assert len(world.knocked) == 16
