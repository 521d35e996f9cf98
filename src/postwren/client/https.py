"""A small document by HTTPS: no login, no cookies, nothing in the clear, and never from another host than was asked (A-95)."""

import asyncio
import socket
import ssl
from pathlib import Path
from typing import Final, Protocol
from urllib.parse import urljoin, urlsplit

from postwren.client.conversation import ConnectionEnded, Conversation, Security
from postwren.protocols.http.client import ClientConnection, Get, Responded, ServerFault
from postwren.transport.tls import TlsFault

__all__ = ["Https", "Web", "WebFailed"]

_PATIENCE: Final = 4.0  # seconds for a document, redirections included
_MOST_REDIRECTIONS: Final = 2
_REDIRECTIONS: Final = (301, 302, 303, 307, 308)


class WebFailed(Exception):
    """No document; the text says why, as a clause behind the address."""


class Web(Protocol):
    """Where documents come from."""

    async def get(self, host: str, target: str) -> bytes:
        """What is at `https://HOST` + `target`, a path with an optional query. Raises WebFailed."""


class Https:
    """The web itself. `trusted` is a file of certificates to trust instead of the system's."""

    def __init__(self, trusted: Path | None = None, port: int = 443, patience: float = _PATIENCE) -> None:
        self._trusted = trusted
        self._port = port
        self._patience = patience

    async def get(self, host: str, target: str) -> bytes:
        try:
            async with asyncio.timeout(self._patience):
                return await self._follow(host, target)
        except TimeoutError:
            raise WebFailed("no answer in time") from None
        except (OSError, TlsFault) as error:
            raise WebFailed(_why(error)) from None

    async def _follow(self, host: str, target: str) -> bytes:
        for _ in range(1 + _MOST_REDIRECTIONS):
            answer = await self._ask(host, target)
            if answer.status == 200:
                return answer.body
            if answer.status not in _REDIRECTIONS:
                raise WebFailed(f"answered {answer.status}")
            target = self._target(host, target, answer.fields.get("location", ""))
        raise WebFailed("sends us from place to place")

    async def _ask(self, host: str, target: str) -> Responded:
        core = ClientConnection()
        async with Conversation(core) as talk:
            await talk.connect(host, self._port, Security.IMPLICIT, b"http/1.1", self._trusted)
            core.send(Get(host if self._port == 443 else f"{host}:{self._port}", target))
            talk.flush()
            event = await talk.next_event()
        if isinstance(event, ServerFault):
            raise WebFailed(event.reason)
        assert isinstance(event, Responded)
        return event

    def _target(self, host: str, target: str, location: str) -> str:
        """Where it sends us, which must be on the same host and by HTTPS."""
        base = f"https://{host}:{self._port}"
        try:
            place = urlsplit(urljoin(base + target, location))
            is_same = place.scheme == "https" and place.hostname == host and (place.port or 443) == self._port
        except ValueError:
            is_same = False
        if not is_same or place.username is not None or not location.isascii() or not location.isprintable() or " " in location:
            raise WebFailed("sends us to another host, or out of TLS: not followed")
        return (place.path or "/") + (f"?{place.query}" if place.query else "")


def _why(error: Exception) -> str:
    match error:
        case ConnectionEnded():
            return "closed the connection"
        case ConnectionRefusedError():
            return "nothing listens there"
        case socket.gaierror():
            return "no such host"
        case ssl.SSLCertVerificationError():
            return f"its certificate cannot be trusted ({error.verify_message})"
    return str(error)
