"""No record, no From and no Authentication-Results makes a parser raise or take long; what is stripped is gone, alone."""

import asyncio

from postwren.mailauth.authres import LIMITS, format_results, parse_results, strip_forged
from postwren.mailauth.dmarc import DmarcInvalid, Identifiers, author_domains, evaluate, parse_record
from postwren.mailauth.verdict import Verdict
from postwren.testing.resolver import ScriptedResolver
from postwren.wire.resolver import Txt

OURS = "mx.example.org"


def target(data: bytes) -> None:
    try:
        record = parse_record(data)
        assert 0 <= record.percent <= 100
    except DmarcInvalid:
        pass
    resolver = ScriptedResolver({("_dmarc.example.org", "TXT"): [Txt(data)], ("_dmarc.org", "TXT"): [Txt(data[1:])]})
    found = asyncio.run(evaluate(resolver, "a.example.org", Identifiers((Verdict.PASS, data.decode("latin-1")))))
    assert len(resolver.asked) < 30, found
    for domain in author_domains(data):
        assert domain == domain.lower()
        assert domain.isascii()
    results = parse_results(data)
    if results is not None:
        again = parse_results(format_results(results.authserv_id or "x", results.results).partition(b":")[2])
        assert again is not None
        assert [each.verdict for each in again.results] == [each.verdict for each in results.results][: LIMITS.results]
    block = b"Authentication-Results: " + data + b"\r\nSubject: x\r\n"
    stripped = strip_forged(block, OURS)
    assert stripped.endswith(b"Subject: x\r\n")
    assert strip_forged(stripped, OURS) == stripped


SEEDS: list[bytes] = [
    b"v=DMARC1; p=reject; sp=quarantine; np=none; adkim=s; aspf=r; pct=50; rua=mailto:a@example.org!10m,mailto:b@c; psd=n; t=y",
    b'mx.example.org (c (n)) 1; spf=pass reason="a\\"b" smtp.mailfrom=a@b.c; dkim = fail header.d=x',
    b'From: "a" <a@example.org>, b@example.net (c)\r\nfrom : g: x@y.z;\r\n',
]
