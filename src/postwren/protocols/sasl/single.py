"""The client side of every mechanism that says all it has to say in its initial response."""

from postwren.protocols.sasl.exchange import Abort

__all__ = ["SingleMessageClient"]


class SingleMessageClient:
    """Sends one message; a challenge after it is none of the mechanism's."""

    __slots__ = ("_message", "mechanism")

    def __init__(self, mechanism: str, message: bytes) -> None:
        self.mechanism = mechanism
        self._message = message

    def start(self) -> bytes | None:
        return self._message

    def receive(self, _challenge: bytes, /) -> bytes | Abort:
        return Abort(f"{self.mechanism} has no second challenge")

    def finished(self, _additional: bytes | None = None, /) -> Abort | None:
        return None
