"""EXTERNAL (RFC 4422 appendix A): who the client is, the channel has shown already (a TLS client certificate)."""

from postwren.protocols.sasl.exchange import (
    Challenge,
    ClientCredentials,
    Failed,
    Fault,
    IdentityOffered,
    ServerStep,
    text_of,
)
from postwren.protocols.sasl.single import SingleMessageClient

__all__ = ["ExternalServer", "external_client"]


class ExternalServer:
    """extern-resp = *( UTF8-char-no-nul )"""

    __slots__ = ()

    def begin(self, initial: bytes | None) -> ServerStep:
        return Challenge(b"") if initial is None else self.receive(initial)

    def receive(self, response: bytes) -> ServerStep:
        authzid = text_of(response)
        return Failed(Fault.MALFORMED) if authzid is None else IdentityOffered(authzid)


def external_client(credentials: ClientCredentials) -> SingleMessageClient:
    """Names whom it wants to act as, or nobody."""
    return SingleMessageClient("EXTERNAL", credentials.authzid.encode())
