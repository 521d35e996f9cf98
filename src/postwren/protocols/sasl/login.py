"""LOGIN (draft-murchison-sasl-login-00, never an RFC): name and password in two messages. Some programs know nothing else."""

from postwren.protocols.sasl.exchange import (
    Abort,
    Challenge,
    ClientCredentials,
    Failed,
    Fault,
    PasswordOffered,
    ServerStep,
    text_of,
)
from postwren.wire.secret import Secret

__all__ = ["LoginClient", "LoginServer"]


class LoginServer:
    """Asks for both with the words that clients have been seen to look for."""

    __slots__ = ("_authcid",)

    def __init__(self) -> None:
        self._authcid: str | None = None

    def begin(self, initial: bytes | None) -> ServerStep:
        return Challenge(b"Username:") if initial is None else self.receive(initial)

    def receive(self, response: bytes) -> ServerStep:
        text = text_of(response)
        if not text:
            return Failed(Fault.MALFORMED)
        if self._authcid is None:
            self._authcid = text
            return Challenge(b"Password:")
        return PasswordOffered(self._authcid, "", Secret(text))


class LoginClient:
    """Answers by position: servers word their challenges as they like."""

    __slots__ = ("_answers",)
    mechanism = "LOGIN"

    def __init__(self, credentials: ClientCredentials) -> None:
        assert credentials.password is not None
        self._answers = [credentials.password.reveal().encode(), credentials.authcid.encode()]

    def start(self) -> bytes | None:
        return None

    def receive(self, _challenge: bytes, /) -> bytes | Abort:
        return self._answers.pop() if self._answers else Abort("LOGIN has no third challenge")

    def finished(self, _additional: bytes | None = None, /) -> Abort | None:
        return Abort("accepted before the password was sent") if self._answers else None
