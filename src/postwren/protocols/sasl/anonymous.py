"""ANONYMOUS (RFC 4505): nobody in particular, with a trace. Off unless the server's policy names an account for it."""

from postwren.protocols.sasl.exchange import (
    AnonymousOffered,
    Challenge,
    ClientCredentials,
    Failed,
    Fault,
    ServerStep,
    text_of,
)
from postwren.protocols.sasl.single import SingleMessageClient

__all__ = ["AnonymousServer", "anonymous_client"]

LONGEST_TRACE = 255  # characters, section 2


class AnonymousServer:
    """message = [ email / token ]; both are at most 255 characters, and only go to the log."""

    __slots__ = ()

    def begin(self, initial: bytes | None) -> ServerStep:
        return Challenge(b"") if initial is None else self.receive(initial)

    def receive(self, response: bytes) -> ServerStep:
        trace = text_of(response)
        if trace is None or len(trace) > LONGEST_TRACE or not trace.isprintable():
            return Failed(Fault.MALFORMED)
        return AnonymousOffered(trace)


def anonymous_client(credentials: ClientCredentials) -> SingleMessageClient:
    """Used only when the credentials hold a trace and nothing else."""
    return SingleMessageClient("ANONYMOUS", (credentials.anonymous_trace or "").encode())
