"""What stands on the web: a table of routes, made once.

/.well-known/mta-sts.txt at mta-sts.DOMAIN      RFC 8461 section 3.3, with TLS only
/.well-known/acme-challenge/TOKEN               RFC 8555 section 8.3
/.well-known/autoconfig/mail/config-v1.1.xml    and /mail/config-v1.1.xml?emailaddress=...

DOMAIN is one of ours; to anybody else these documents do not exist.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final, Literal
from urllib.parse import parse_qs

from postwren.config.loader import ConfigError
from postwren.config.schema import Listen, MtaSts
from postwren.mailauth.mtasts import Mode, Policy, PolicyInvalid, format_policy, parse_policy
from postwren.protocols.http.server import Answer, Requested
from postwren.server.http.autoconfig import Offered, autoconfig
from postwren.server.http.route import Route, document

__all__ = ["documents", "offered", "own_policy"]

_MAX_AGE: Final = 14 * 24 * 3600  # seconds for which our policy is believed: it outlives a week of attack (RFC 8461 section 10.2)
_CHALLENGE: Final = "/.well-known/acme-challenge/"


def documents(
    is_ours: Callable[[str], bool],
    hostname: str,
    services: tuple[Offered, ...],
    policy: Policy | None,
    challenges: Mapping[str, str],
) -> tuple[Route, ...]:
    """`is_ours` tells our domains; `policy` is that of all of them; `challenges` holds what is to be said for a token, and is
    looked into at every request."""

    def policy_of(request: Requested) -> Answer | None:
        domain = request.host.removeprefix("mta-sts.")
        if policy is None or domain == request.host or not is_ours(domain):
            return None
        return document("text/plain", format_policy(policy))

    def challenge(request: Requested) -> Answer | None:
        said = challenges.get(request.path.removeprefix(_CHALLENGE))
        return None if said is None else document("application/octet-stream", said.encode())

    def configuration(request: Requested) -> Answer | None:
        domain = _domain_of(request)
        if not domain or not services or not is_ours(domain):
            return None
        return document("text/xml; charset=utf-8", autoconfig(domain, hostname, services))

    return (
        Route("/.well-known/mta-sts.txt", policy_of, needs_tls=True),
        Route(_CHALLENGE, challenge, is_prefix=True),
        Route("/.well-known/autoconfig/mail/config-v1.1.xml", configuration),
        Route("/mail/config-v1.1.xml", configuration),
    )


def _domain_of(request: Requested) -> str:
    """Of the address that is asked about, or whose web this is."""
    try:
        addresses = parse_qs(request.query, max_num_fields=8).get("emailaddress", [])
    except ValueError:
        return ""
    if addresses:
        return addresses[0].rpartition("@")[2].lower()
    return request.host.removeprefix("autoconfig.")


def own_policy(sts: MtaSts, hostname: str) -> Policy | None:
    """The policy that others find. Raises ConfigError."""
    if sts.mode == "off":
        return None
    try:
        return parse_policy(format_policy(Policy(Mode(sts.mode), sts.mx or (hostname,), _MAX_AGE)))
    except PolicyInvalid as error:
        raise ConfigError(f"mta_sts: nobody would take this policy: {error}") from None


def offered(listen: Listen) -> tuple[Offered, ...]:
    """What autoconfig names: implicit TLS before STARTTLS, by the ports that we listen on (RFC 8314 section 4)."""
    kinds: tuple[tuple[Literal["imap", "pop3", "smtp"], tuple[str, ...], bool], ...] = (
        ("imap", listen.imaps, True),
        ("imap", listen.imap, False),
        ("pop3", listen.pop3s, True),
        ("pop3", listen.pop3, False),
        ("smtp", listen.submissions, True),
        ("smtp", listen.submission, False),
    )
    return tuple(Offered(kind, int(port), is_tls) for kind, texts, is_tls in kinds for port in _ports(texts)[:1])


def _ports(texts: Sequence[str]) -> list[str]:
    return [text.rpartition(":")[2] for text in texts if not text.startswith("/")]
