"""What is published about a domain against what should be: RFC 5321 section 5.1, 7208, 6376, 7489, 8461, 8460, 6186."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest

from postwren.mailauth.published import Finding, Setup, Standing, ask, compare, wanted, zone_lines
from postwren.testing.resolver import ScriptedResolver
from postwren.wire.resolver import HostAddress, Kind, Mx, Ptr, Record, Srv, Txt

KEY = "v=DKIM1; k=rsa; p=" + "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8A" * 12 + "AQAB"
SETUP = Setup("example.org", "mx.example.org", (("2026a", KEY),), mta_sts_id="2026")
POINTER = "1.2.0.192.in-addr.arpa"
Zone = dict[tuple[str, Kind], Sequence[Record]]


def zone() -> Zone:
    """Everything as it should be."""
    found: Zone = {
        ("mx.example.org", "A"): [HostAddress("192.0.2.1")],
        ("mta-sts.example.org", "A"): [HostAddress("192.0.2.1")],
        ("autoconfig.example.org", "A"): [HostAddress("192.0.2.1")],
        (POINTER, "PTR"): [Ptr("mx.example.org")],
        ("example.org", "MX"): [Mx(10, "mx.example.org")],
        ("example.org", "TXT"): [Txt(b"other=thing"), Txt(b"v=spf1 mx -all")],
    }
    for service, port in SETUP.services:
        found[f"{service}._tcp.example.org", "SRV"] = [Srv(0, 1, port, "mx.example.org")]
    for record in wanted(SETUP):
        if record.kind == "TXT" and record.name != "example.org":
            found[record.name, "TXT"] = [Txt(record.data.encode())]
    return found


def findings(world: Zone, setup: Setup = SETUP, **more: tuple[str, ...]) -> list[Finding]:
    return compare(setup, asyncio.run(ask(ScriptedResolver(world, failing=more.get("failing", ())), setup)))


def finding(what: str, world: Zone, setup: Setup = SETUP, **more: tuple[str, ...]) -> Finding:
    (found,) = [each for each in findings(world, setup, **more) if each.what == what]
    return found


def test_all_is_well_when_it_is() -> None:
    assert [(each.what, each.line) for each in findings(zone()) if each.standing is not Standing.OK or each.publish] == []


def test_of_a_domain_that_nobody_set_up_everything_is_missing_with_the_record_to_publish() -> None:
    found = findings({})
    assert {each.standing for each in found} == {Standing.MISSING}
    assert [each.publish for each in found[1:]] == [zone_lines(record) for record in wanted(SETUP)]
    assert [each.what for each in found if each.is_needed] == ["Host", "MX", "SPF", "DKIM 2026a", "DMARC"]


def test_of_a_dns_that_does_not_answer_nothing_is_said_to_be_missing() -> None:
    names = tuple(name for name, _ in zone())
    assert {each.standing for each in findings(zone(), failing=names)} == {Standing.UNKNOWN}


@pytest.mark.parametrize(
    ("what", "key", "records", "standing"),
    [
        ("MX", ("example.org", "MX"), [Mx(5, "other.example"), Mx(10, "mx.example.org")], Standing.OK),
        ("MX", ("example.org", "MX"), [Mx(5, "other.example")], Standing.DIFFERS),
        ("MX", ("example.org", "MX"), [Mx(0, "")], Standing.DIFFERS),
        ("SPF", ("example.org", "TXT"), [Txt(b"v=spf1 ip4:192.0.2.0/28 ~all")], Standing.OK),
        ("SPF", ("example.org", "TXT"), [Txt(b"v=spf1 ip4:198.51.100.0/24 -all")], Standing.DIFFERS),
        ("SPF", ("example.org", "TXT"), [Txt(b"v=spf1 mx -all"), Txt(b"v=spf1 mx -all")], Standing.DIFFERS),
        ("SPF", ("example.org", "TXT"), [Txt(b"v=spf1 nonsense")], Standing.DIFFERS),
        ("SPF", ("example.org", "TXT"), [Txt(b"google-site-verification=1")], Standing.MISSING),
        ("DKIM 2026a", ("2026a._domainkey.example.org", "TXT"), [Txt(KEY.replace("; ", " ;").encode())], Standing.OK),
        ("DKIM 2026a", ("2026a._domainkey.example.org", "TXT"), [Txt(KEY[:-4].encode())], Standing.DIFFERS),
        ("DKIM 2026a", ("2026a._domainkey.example.org", "TXT"), [Txt(b"v=DKIM1; p=")], Standing.DIFFERS),
        ("DKIM 2026a", ("2026a._domainkey.example.org", "TXT"), [Txt(b"nonsense")], Standing.DIFFERS),
        ("DKIM 2026a", ("2026a._domainkey.example.org", "TXT"), [Txt(KEY.encode())] * 2, Standing.DIFFERS),
        ("DMARC", ("_dmarc.example.org", "TXT"), [Txt(b"v=DMARC1;p=reject")], Standing.OK),
        ("DMARC", ("_dmarc.example.org", "TXT"), [Txt(b"v=DMARC1; p=none")], Standing.DIFFERS),
        ("DMARC", ("_dmarc.example.org", "TXT"), [Txt(b"v=DMARC1; x=none")], Standing.DIFFERS),
        ("DMARC", ("_dmarc.example.org", "TXT"), [Txt(b"v=DMARC1;p=reject")] * 2, Standing.DIFFERS),
        ("MTA-STS", ("_mta-sts.example.org", "TXT"), [Txt(b"v=STSv1;id=2026")], Standing.OK),
        ("MTA-STS", ("_mta-sts.example.org", "TXT"), [Txt(b"v=STSv1; id=2025;")], Standing.DIFFERS),
        ("MTA-STS host", ("mta-sts.example.org", "A"), [HostAddress("198.51.100.1")], Standing.DIFFERS),
        ("TLS reports", ("_smtp._tls.example.org", "TXT"), [Txt(b"v=TLSRPTv1; rua=mailto:a@b.example")], Standing.DIFFERS),
        ("Service _imaps", ("_imaps._tcp.example.org", "SRV"), [Srv(9, 9, 993, "mx.example.org")], Standing.OK),
        ("Autoconfig", ("autoconfig.example.org", "A"), [HostAddress("198.51.100.1")], Standing.DIFFERS),
        ("Service _imaps", ("_imaps._tcp.example.org", "SRV"), [Srv(0, 1, 993, "old.example.org")], Standing.DIFFERS),
        ("Service _imaps", ("_imaps._tcp.example.org", "SRV"), [Srv(0, 1, 0, "")], Standing.DIFFERS),
        ("Name of 192.0.2.1", (POINTER, "PTR"), [Ptr("old.example.org"), Ptr("mx.example.org")], Standing.OK),
        ("Name of 192.0.2.1", (POINTER, "PTR"), [Ptr("host-1.isp.example")], Standing.DIFFERS),
        ("Name of 192.0.2.1", (POINTER, "PTR"), [], Standing.MISSING),
    ],
)
def test_what_is_published_stands(what: str, key: tuple[str, Kind], records: list[Record], standing: Standing) -> None:
    found = finding(what, {**zone(), key: records})
    assert found.standing is standing, found.line
    assert bool(found.publish) is (standing is not Standing.OK)


def test_of_two_addresses_the_one_that_may_not_send_is_named() -> None:
    world: Zone = {
        **zone(),
        ("mx.example.org", "AAAA"): [HostAddress("2001:db8::1")],
        ("example.org", "TXT"): [Txt(b"v=spf1 ip4:192.0.2.1 -all")],
    }
    found = finding("SPF", world)
    assert found.line == "the policy does not let 2001:db8::1 send (fail, -all of example.org): add mx to it"
    assert finding("Name of 2001:db8::1", world).publish == (
        "1." + "0." * 23 + "8.b.d.0.1.0.0.2.ip6.arpa. IN PTR mx.example.org.",
    )


def test_what_strangers_publish_is_plain_on_a_terminal() -> None:
    """A-33."""
    found = finding("MX", {**zone(), ("example.org", "MX"): [Mx(1, "\x1b[2Jevil\u202e")]})
    assert found.line == "mail for example.org goes to ?[2Jevil?, not here"


def test_a_long_text_is_cut_into_strings_that_join_to_itself() -> None:
    """RFC 1035 section 3.3: 255 octets a string; RFC 6376 section 3.6.2.2: joined without anything between."""
    record = next(record for record in wanted(SETUP) if record.what == "DKIM 2026a")
    first, *strings, last = zone_lines(record)
    assert (first, last) == ("2026a._domainkey.example.org. IN TXT (", ")")
    assert "".join(string.strip().strip('"') for string in strings) == KEY
    assert max(len(string.strip()) for string in strings) == 257
    assert zone_lines(replace(record, data='a"b\\'))[0].endswith(r'IN TXT "a\"b\\"')


def test_a_setup_says_what_it_wants() -> None:
    setup = Setup("example.org", "mx.example.net", reports="dmarc@example.net", dmarc="none", services=())
    assert [line for record in wanted(setup) for line in zone_lines(record)] == [
        "example.org. IN MX 10 mx.example.net.",
        'example.org. IN TXT "v=spf1 mx -all"',
        '_dmarc.example.org. IN TXT "v=DMARC1; p=none; rua=mailto:dmarc@example.net"',
        '_smtp._tls.example.org. IN TXT "v=TLSRPTv1; rua=mailto:dmarc@example.net"',
        "autoconfig.example.org. IN CNAME mx.example.net.",
    ]
