"""PLAIN (RFC 4616): the password in one message, under TLS only."""

from postwren.protocols.sasl.exchange import (
    Challenge,
    ClientCredentials,
    Failed,
    Fault,
    PasswordOffered,
    ServerStep,
    text_of,
)
from postwren.protocols.sasl.single import SingleMessageClient
from postwren.wire.secret import Secret

__all__ = ["PlainServer", "plain_client"]


class PlainServer:
    """message = [authzid] NUL authcid NUL passwd (section 2)"""

    __slots__ = ()

    def begin(self, initial: bytes | None) -> ServerStep:
        return Challenge(b"") if initial is None else self.receive(initial)

    def receive(self, response: bytes) -> ServerStep:
        parts = response.split(b"\x00", 3)
        if len(parts) != 3:
            return Failed(Fault.MALFORMED)
        authzid, authcid, password = map(text_of, parts)
        if authzid is None or not authcid or not password:
            return Failed(Fault.MALFORMED)
        return PasswordOffered(authcid, authzid, Secret(password))


def plain_client(credentials: ClientCredentials) -> SingleMessageClient:
    """Sends the password as it was typed: preparing it is the server's business (section 2)."""
    assert credentials.password is not None
    fields = (credentials.authzid, credentials.authcid, credentials.password.reveal())
    return SingleMessageClient("PLAIN", "\x00".join(fields).encode())
