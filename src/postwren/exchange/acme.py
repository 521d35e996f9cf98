"""A certificate from an authority, by ACME (RFC 8555).

    authority = AcmeAuthority(web, "https://acme-v02.api.letsencrypt.org/directory", key, contact)
    chain = await authority.obtain(["mx.example.org"], certificate_key, prover)         PEM, leaf first; raises AcmeFailed

What must stay true: every address that the server names is at the directory's own origin, by HTTPS; what it sends is bounded by
the HTTP core, and waits by `Limits`; a chain is taken only if it is for our key and our names.
"""

import asyncio
import json
import logging
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from postwren.exchange.jose import AccountKey, base64url
from postwren.exchange.web import WebFailed
from postwren.protocols.http.client import Get, Post, Responded
from postwren.transport.certificate import certificate_names

__all__ = ["LIMITS", "AcmeAuthority", "AcmeFailed", "AcmeWeb", "Limits", "Prover"]

log = logging.getLogger("postwren.acme")

_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]{1,256}")
_NONCE: Final = re.compile(r"[A-Za-z0-9_-]{1,512}")
_BAD_NONCE: Final = "urn:ietf:params:acme:error:badNonce"


@dataclass(frozen=True, slots=True)
class Limits:
    """Names of one certificate; how often we ask whether something is done, and the longest wait between; tries with another
    nonce."""

    names: int = 100
    polls: int = 40
    wait: float = 30
    nonces: int = 4


LIMITS: Final = Limits()


class AcmeFailed(Exception):
    """No certificate; the text says why, as people read it. `name` is the one that could not be proven, if it was one."""

    def __init__(self, why: str, name: str = "") -> None:
        super().__init__(why)
        self.name = name


class AcmeWeb(Protocol):
    """`exchange.web.StrangersWeb`."""

    async def ask(self, request: Get | Post, port: int = 0) -> Responded:
        """Raises WebFailed."""


class Prover(Protocol):
    """Who shows the authority that a name is ours (section 8)."""

    @property
    def kind(self) -> str:
        """The type of challenge: "http-01", "dns-01"."""

    async def publish(self, name: str, token: str, authorization: str) -> None:
        """To be found by the authority when this returns. Raises AcmeFailed."""

    async def withdraw(self, name: str, token: str) -> None:
        """The authority has looked."""


class AcmeAuthority:
    """See the module. `contact` is an address, or ""; the terms of service are agreed to by whoever configures this."""

    def __init__(
        self,
        web: AcmeWeb,
        directory: str,
        key: AccountKey,
        contact: str = "",
        limits: Limits = LIMITS,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._web = web
        self._directory = directory
        self._origin = _origin(directory)
        self._key = key
        self._contact = contact
        self._limits = limits
        self._sleep = sleep
        self._nonce = ""
        self._account: str | None = None
        self._places: Mapping[str, Any] = {}

    async def obtain(self, names: Sequence[str], key: ec.EllipticCurvePrivateKey, prover: Prover) -> bytes:
        """Raises AcmeFailed."""
        if not 1 <= len(names) <= self._limits.names:
            raise AcmeFailed(f"a certificate has at most {self._limits.names} names")
        try:
            return await self._obtain(names, key, prover)
        except WebFailed as error:
            raise AcmeFailed(f"{self._directory}: {error}") from None
        except (KeyError, TypeError, ValueError, AttributeError) as error:  # what it says has another shape than the RFC's
            raise AcmeFailed(f"{self._directory}: what it says makes no sense ({error!r})") from None

    async def _obtain(self, names: Sequence[str], key: ec.EllipticCurvePrivateKey, prover: Prover) -> bytes:
        await self._enter()
        identifiers = [{"type": "dns", "value": name} for name in names]
        made = await self._post(self._places["newOrder"], {"identifiers": identifiers})
        url, order = _place_of(made), _document(made)
        for authorization in list(order["authorizations"])[: len(names)]:
            await self._prove(authorization, prover)
        order = await self._until(url, ("ready", "valid"))
        if order["status"] != "valid":
            await self._post(order["finalize"], {"csr": base64url(_request(names, key))})
            order = await self._until(url, ("valid",))
        chain = (await self._post(order["certificate"], None)).body
        _check(chain, names, key)
        return chain

    async def _enter(self) -> None:
        """Sections 7.1.1 and 7.3: where everything is, and our account, which is made or found."""
        answer = await self._web.ask(Get(*self._at(self._directory)), self._origin[1])
        self._places = _document(answer)
        account: dict[str, Any] = {"termsOfServiceAgreed": True}
        if self._contact:
            account["contact"] = [f"mailto:{self._contact}"]
        self._account = None
        self._account = _place_of(await self._post(self._places["newAccount"], account))

    async def _prove(self, url: str, prover: Prover) -> None:
        """Section 7.5."""
        found = _document(await self._post(url, None))
        if found["status"] == "valid":  # from the last time
            return
        name = str(found["identifier"]["value"])
        challenge = next((one for one in found["challenges"] if one["type"] == prover.kind), None)
        if challenge is None or not _TOKEN.fullmatch(token := str(challenge["token"])):
            raise AcmeFailed(f"{name}: the authority offers no {prover.kind}")
        try:
            await self._show(name, token, url, challenge["url"], prover)
        except AcmeFailed as error:
            raise AcmeFailed(str(error), name) from error

    async def _show(self, name: str, token: str, url: str, challenge: object, prover: Prover) -> None:
        await prover.publish(name, token, f"{token}.{self._key.thumbprint}")
        try:
            await self._post(challenge, {})
            await self._until(url, ("valid",))
        finally:
            await prover.withdraw(name, token)

    async def _until(self, url: str, wanted: Sequence[str]) -> dict[str, Any]:
        """Ask until the order or authorization is so far (sections 7.4, 7.5.1)."""
        for _ in range(self._limits.polls):
            answer = await self._post(url, None)
            found = _document(answer)
            if found["status"] in wanted:
                return found
            if found["status"] not in ("pending", "processing", "ready"):
                raise AcmeFailed(_why(found))
            after = answer.fields.get("retry-after", "")
            await self._sleep(min(float(after) if after.isdecimal() and len(after) < 6 else 2.0, self._limits.wait))
        raise AcmeFailed("the authority does not come to an end")

    async def _post(self, url: object, payload: dict[str, Any] | None) -> Responded:
        """Sections 6.2 to 6.5."""
        for _ in range(self._limits.nonces):
            nonce, self._nonce = self._nonce or await self._new_nonce(), ""
            host, target = self._at(url)
            body = self._key.sign(str(url), nonce, payload, self._account)
            answer = await self._web.ask(Post(host, target, "application/jose+json", body), self._origin[1])
            self._keep_nonce(answer)
            if answer.status in (200, 201):
                return answer
            problem = _document(answer) if "json" in answer.fields.get("content-type", "") else {}
            if problem.get("type") != _BAD_NONCE:
                raise AcmeFailed(_why({"error": problem}) if problem else f"it answered {answer.status}")
        raise AcmeFailed("it takes no nonce of its own")

    async def _new_nonce(self) -> str:
        self._keep_nonce(await self._web.ask(Get(*self._at(self._places["newNonce"])), self._origin[1]))
        if not self._nonce:
            raise AcmeFailed("it gives no nonce")
        return self._nonce

    def _keep_nonce(self, answer: Responded) -> None:
        nonce = answer.fields.get("replay-nonce", "")
        self._nonce = nonce if _NONCE.fullmatch(nonce) else ""

    def _at(self, url: object) -> tuple[str, str]:
        """Host and target of a place that the server named (A-74, A-95)."""
        text = str(url)
        if _origin(text) != self._origin:
            raise AcmeFailed(f"it sends us elsewhere: {text[:200]!r}")
        place = urlsplit(text)
        return self._origin[0], (place.path or "/") + (f"?{place.query}" if place.query else "")


def _origin(url: str) -> tuple[str, int]:
    try:
        place = urlsplit(url)
        host, port = place.hostname or "", place.port or 443
    except ValueError:
        host, port = "", 0
    if not url.isascii() or not url.isprintable() or " " in url or not host or place.scheme != "https" or "@" in place.netloc:
        raise AcmeFailed(f"not an address of HTTPS: {url[:200]!r}")
    return host, port


def _place_of(answer: Responded) -> str:
    return answer.fields["location"]


def _document(answer: Responded) -> dict[str, Any]:
    try:
        found = json.loads(answer.body)
    except RecursionError:
        raise ValueError("nested too deep") from None
    if not isinstance(found, dict):
        raise ValueError("no object")
    return found


def _why(found: Mapping[str, Any]) -> str:
    """The first problem that it tells (section 6.7), as one line of printable ASCII."""
    problems = [found.get("error")] + [one.get("error") for one in found.get("challenges", ()) if isinstance(one, dict)]
    texts = [str(problem.get("detail") or problem.get("type")) for problem in problems if isinstance(problem, dict)]
    text = texts[0] if texts else f"it ended as {found.get('status')}"
    return re.sub(r"[^\x20-\x7e]", "?", text)[:500]


def _request(names: Sequence[str], key: ec.EllipticCurvePrivateKey) -> bytes:
    """Section 7.4: what the certificate is to be."""
    subject = x509.Name([])
    alternative = x509.SubjectAlternativeName([x509.DNSName(name) for name in names])
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject).add_extension(alternative, critical=False)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def _check(chain: bytes, names: Sequence[str], key: ec.EllipticCurvePrivateKey) -> None:
    leaf = x509.load_pem_x509_certificates(chain)[0]
    covered = certificate_names(leaf.public_bytes(serialization.Encoding.DER))
    if leaf.public_key() != key.public_key() or not covered >= {name.lower() for name in names}:
        raise AcmeFailed("the certificate is not the one that was asked for")
