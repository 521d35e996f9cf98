"""An ACME server for tests (RFC 8555): small, strict about what clients must do, and with faults on demand."""

import asyncio
import base64
import datetime
import json
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding
from tests.unit.exchange.chain import AUTHORITY, NOW, Issued, issue

Look = Callable[[str, str, str], Awaitable[str]]


def unpadded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


class AcmeStub:
    """`look` is how it validates: given kind, name and token it finds what is said there. `wrong` changes a document before it is
    sent, `forge` what is certified; `bad_nonces` are refused before one is taken."""

    def __init__(self, credentials: tuple[Path, Path], look: Look, kind: str = "http-01") -> None:
        self.root: Issued = issue("root", None, AUTHORITY)
        self.wrong: Callable[[str, dict[str, Any]], dict[str, Any]] = lambda what, document: document
        self.forge: Callable[[Any, list[str]], tuple[Any, list[str]]] = lambda key, names: (key, names)
        self.bad_nonces = 0
        self.pending = 1  # times that an authorization is still being looked at
        self.answered: list[str] = []
        self.contacts: list[str] = []
        self.life = datetime.timedelta(days=90)
        self.now = NOW
        self._look = look
        self._kind = kind
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(*credentials)
        self._nonces: set[str] = set()
        self._jwk: dict[str, str] = {}
        self._count = 0
        self._states: dict[str, str] = {}
        self._names: list[str] = []
        self._chain = b""

    async def __aenter__(self) -> "AcmeStub":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._context)
        self.port = self._server.sockets[0].getsockname()[1]
        self.base = f"https://acme.example:{self.port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        method, target, _ = head.split("\r\n")[0].split()
        fields = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line)
        assert "user-agent" in fields
        body = await reader.readexactly(int(fields.get("content-length", 0)))
        status, document, more = await self._answer(method, target, body)
        self.answered.append(f"{target} {status}")
        octets = document if isinstance(document, bytes) else json.dumps(document).encode()
        nonce = f"nonce-{self._count}"
        self._count += 1
        self._nonces.add(nonce)
        kind = "application/problem+json" if status >= 400 else "application/json"
        lines = [f"HTTP/1.1 {status} x", f"Content-Type: {kind}", f"Content-Length: {len(octets)}", f"Replay-Nonce: {nonce}"]
        writer.write("\r\n".join([*lines, *more, "", ""]).encode() + octets)
        writer.close()

    async def _answer(self, method: str, target: str, body: bytes) -> tuple[int, Any, list[str]]:
        if method == "GET":
            assert target in ("/directory", "/nonce")
            places = {"newNonce": "/nonce", "newAccount": "/account", "newOrder": "/order"}
            found = {name: self.base + path for name, path in places.items()}
            return (200, self.wrong("directory", found), []) if target == "/directory" else (204, b"", [])
        header, payload = self._verified(body)
        if header["nonce"] not in self._nonces or self.bad_nonces:
            self.bad_nonces = max(0, self.bad_nonces - 1)
            return 400, {"type": "urn:ietf:params:acme:error:badNonce", "detail": "again"}, []
        self._nonces.discard(header["nonce"])
        assert header["url"] == self.base + target
        assert (target == "/account") is ("jwk" in header)
        status, document, more = await self._act(target, payload)
        return status, self.wrong(target, document) if isinstance(document, dict) else document, more

    def _verified(self, body: bytes) -> tuple[dict[str, Any], Any]:
        signed = json.loads(body)
        header = json.loads(unpadded(signed["protected"]))
        jwk = self._jwk = header.get("jwk", self._jwk)
        assert "kid" not in header or header["kid"] == f"{self.base}/account/1"
        x, y = (int.from_bytes(unpadded(jwk[name]), "big") for name in ("x", "y"))
        raw = unpadded(signed["signature"])
        signature = encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))
        key = ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()
        key.verify(signature, f"{signed['protected']}.{signed['payload']}".encode(), ec.ECDSA(hashes.SHA256()))
        return header, json.loads(unpadded(signed["payload"])) if signed["payload"] else None

    async def _act(self, target: str, payload: Any) -> tuple[int, Any, list[str]]:
        if target == "/account":
            assert payload["termsOfServiceAgreed"] is True
            self.contacts += payload.get("contact", [])
            return 201, {"status": "valid"}, [f"Location: {self.base}/account/1"]
        if target == "/order":
            self._names = [one["value"] for one in payload["identifiers"]]
            return 201, self._order(), [f"Location: {self.base}/order/1"]
        if target == "/order/1":
            return 200, self._order(), []
        if target.startswith("/authz/"):
            return 200, self._authorization(target.removeprefix("/authz/")), ["Retry-After: 1"]
        if target.startswith("/challenge/"):
            assert payload == {}
            await self._validate(target.removeprefix("/challenge/"))
            return 200, {"status": "processing"}, []
        if target == "/finalize":
            self._finalize(unpadded(payload["csr"]))
            return 200, self._order(), []
        assert target == "/certificate"
        return 200, self._chain, []

    def _order(self) -> dict[str, Any]:
        is_ready = all(self._states.get(name) == "valid" for name in self._names)
        return {
            "status": "valid" if self._chain else "ready" if is_ready else "pending",
            "authorizations": [f"{self.base}/authz/{name}" for name in self._names],
            "finalize": f"{self.base}/finalize",
            "certificate": f"{self.base}/certificate",
        }

    def _authorization(self, name: str) -> dict[str, Any]:
        state = self._states.get(name, "pending")
        if state == "looking":
            self.pending -= 1
            state = "pending" if self.pending >= 0 else "valid"
            if state == "valid":
                self._states[name] = state
        error = {"error": {"detail": f"{name} says something else"}} if state == "invalid" else {}
        token = f"token-{name.replace('.', '_')}"
        challenge = {"type": self._kind, "url": f"{self.base}/challenge/{name}", "token": token, **error}
        return {
            "status": state,
            "identifier": {"type": "dns", "value": name},
            "challenges": [{"type": "tls-alpn-01", "url": f"{self.base}/no", "token": "x"}, challenge],
        }

    async def _validate(self, name: str) -> None:
        token = f"token-{name.replace('.', '_')}"
        digest = hashes.Hash(hashes.SHA256())
        digest.update(json.dumps({part: self._jwk[part] for part in ("crv", "kty", "x", "y")}, separators=(",", ":")).encode())
        thumbprint = base64.urlsafe_b64encode(digest.finalize()).rstrip(b"=").decode()
        said = await self._look(self._kind, name, token)
        self._states[name] = "looking" if said == f"{token}.{thumbprint}" else "invalid"

    def _finalize(self, csr: bytes) -> None:
        request = x509.load_der_x509_csr(csr)
        assert request.is_signature_valid
        names = request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert sorted(names.get_values_for_type(x509.DNSName)) == sorted(self._names)
        self._chain = self.sign(*self.forge(request.public_key(), self._names))

    def sign(self, key: Any, names: list[str]) -> bytes:
        """A certificate for any key and names, with its issuer's behind it."""
        certificate = (
            x509.CertificateBuilder(
                issuer_name=self.root.certificate.subject,
                subject_name=x509.Name([]),
                public_key=key,
                serial_number=x509.random_serial_number(),
                not_valid_before=self.now,
                not_valid_after=self.now + self.life,
            )
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=True)
            .sign(self.root.key, hashes.SHA256())
        )
        return certificate.public_bytes(Encoding.PEM) + self.root.certificate.public_bytes(Encoding.PEM)
