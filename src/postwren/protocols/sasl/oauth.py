"""Bearer tokens: OAUTHBEARER (RFC 7628) and its elder XOAUTH2 (Google's, never an RFC). Under TLS only.

A token that is refused costs one more round: the server sends an error document as a challenge, the client answers
with a dummy, and only then the protocol says no (RFC 7628 section 3.2.3).
"""

import json
import re
from typing import Final

from postwren.protocols.sasl.exchange import (
    Abort,
    Challenge,
    ClientCredentials,
    Failed,
    Fault,
    ServerStep,
    TokenOffered,
    text_of,
)
from postwren.protocols.sasl.scram import Gs2Header, format_saslname
from postwren.wire.errors import LocalProtocolError
from postwren.wire.secret import Secret

__all__ = ["OAuthBearerClient", "OAuthBearerServer", "TokenServer", "XOAuth2Client", "XOAuth2Server"]

# RFC 6750 section 2.1: b64token. Nothing at all is a question for the scope (RFC 7628 section 4.3).
_AUTHORIZATION: Final = re.compile(rb"(?:bearer +([A-Za-z0-9._~+/-]+=*))?", re.IGNORECASE)


def parse_authorization(value: bytes) -> Secret[str] | None:
    """The token; empty when there was none, None when this is no bearer token."""
    match = _AUTHORIZATION.fullmatch(value)
    return Secret((match[1] or b"").decode()) if match else None


class TokenServer:
    """What both mechanisms share: the offer, and the round after a refusal."""

    __slots__ = ("_is_refused",)

    def __init__(self) -> None:
        self._is_refused = False

    def begin(self, initial: bytes | None) -> ServerStep:
        return Challenge(b"") if initial is None else self.receive(initial)

    def receive(self, response: bytes) -> ServerStep:
        if self._is_refused:
            return Failed(Fault.WRONG)
        return self._parse(response) or Failed(Fault.MALFORMED)

    def refuse(self, document: dict[str, str]) -> Challenge:
        """The token was refused: RFC 7628 section 3.2.2 wants at least a "status"."""
        if self._is_refused:
            raise LocalProtocolError("the token was refused already")
        self._is_refused = True
        return Challenge(json.dumps(document, separators=(",", ":")).encode())

    def _parse(self, response: bytes) -> TokenOffered | None:
        raise NotImplementedError


class OAuthBearerServer(TokenServer):
    """client-resp = (gs2-header kvsep *kvpair kvsep) / kvsep"""

    __slots__ = ()

    def _parse(self, response: bytes) -> TokenOffered | None:
        parsed = Gs2Header.parse(response)
        if parsed is None or parsed[0].flag not in ("n", "y"):
            return None
        header, rest = parsed
        if rest[:1] != b"\x01" or rest[-2:] != b"\x01\x01":
            return None
        token = _authorization_of(rest[1:-2])
        return TokenOffered(header.authzid, token) if token else None


def _authorization_of(pairs: bytes) -> Secret[str] | None:
    """*kvpair: unknown keys are skipped, `auth` must be there once."""
    values = [pair[5:] for pair in pairs.split(b"\x01") if pair[:5] == b"auth="]
    return parse_authorization(values[0]) if len(values) == 1 else None


class XOAuth2Server(TokenServer):
    """ "user=" name ^A "auth=Bearer " token ^A ^A"""

    __slots__ = ()

    def _parse(self, response: bytes) -> TokenOffered | None:
        fields = response.split(b"\x01")
        if len(fields) != 4 or fields[2:] != [b"", b""] or fields[0][:5] != b"user=" or fields[1][:5] != b"auth=":
            return None
        name, token = text_of(fields[0][5:]), parse_authorization(fields[1][5:])
        return TokenOffered(name, token) if name and token else None


class _TokenClient:
    """A challenge after the token is the error document; the dummy answer lets the server say no."""

    __slots__ = ("_credentials", "_error")
    _dummy = b""

    def __init__(self, credentials: ClientCredentials) -> None:
        assert credentials.token is not None
        self._credentials = credentials
        self._error = ""

    def receive(self, challenge: bytes, /) -> bytes | Abort:
        if self._error:
            return Abort("a second challenge after a refused token")
        self._error = challenge[:1000].decode("utf-8", "replace") or "no reason given"
        return self._dummy

    def finished(self, _additional: bytes | None = None, /) -> Abort | None:
        return Abort(f"accepted after refusing the token: {self._error}") if self._error else None

    def _authorization(self) -> bytes:
        token = self._credentials.token
        assert token is not None
        return b"auth=Bearer " + token.reveal().encode()


class OAuthBearerClient(_TokenClient):
    """Says whom it asked, so that a token for another host is of no use to a server in between."""

    __slots__ = ()
    mechanism = "OAUTHBEARER"
    _dummy = b"\x01"

    def start(self) -> bytes | None:
        mine = self._credentials
        identity = mine.authzid or mine.authcid
        pairs = [b"host=" + mine.host.encode(), b"port=%d" % mine.port] if mine.host else []
        header = b"n,%b," % (b"a=" + format_saslname(identity) if identity else b"")
        return b"\x01".join([header, *pairs, self._authorization(), b"", b""])


class XOAuth2Client(_TokenClient):
    """What Google and Microsoft spoke before the RFC."""

    __slots__ = ()
    mechanism = "XOAUTH2"

    def start(self) -> bytes | None:
        return b"\x01".join([b"user=" + self._credentials.authcid.encode(), self._authorization(), b"", b""])
