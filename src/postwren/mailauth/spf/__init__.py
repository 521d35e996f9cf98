"""Sender Policy Framework (RFC 7208): may this address send mail in that domain's name?

macro    strings with macros, parsed once and expanded (section 7)    record    policies: directives, modifiers (sections 5, 6)
check    the evaluation over the port to the DNS (section 4)           limits    what it may cost (section 4.6.4)

    await check(resolver, ip, "mail.example.org", Address("ann", "example.org"), now=...)  ->  SpfResult(PASS, "example.org")

No Received-SPF is written: the result is for Authentication-Results (RFC 8601 section 2.7.2).
"""

from postwren.mailauth.spf.check import SpfResult, check
from postwren.mailauth.spf.limits import Limits
from postwren.mailauth.spf.record import SpfInvalid, SpfRecord, parse_record

__all__ = ["Limits", "SpfInvalid", "SpfRecord", "SpfResult", "check", "parse_record"]
