"""The calling side: connect to a server and drive a client's session over the same link."""

import asyncio
from typing import Final

from postwren.transport.link import Link, LinkConfig
from postwren.transport.session import Session

__all__ = ["CONNECT_TIMEOUT", "dial"]

CONNECT_TIMEOUT: Final = 30.0


async def dial(
    host: str,
    port: int,
    session: Session,
    config: LinkConfig,
    timeout: float = CONNECT_TIMEOUT,  # noqa: ASYNC109
    source: str | None = None,
) -> Link:
    """Connect within `timeout` seconds, implicit TLS included (`config.tls` is a `ClientTls` for the name to verify), and
    return the link; `session.opened` was called by then. `source` is an address of this machine to connect from.

    Raises OSError (also TimeoutError and ssl.SSLCertVerificationError, which are of its kind), or TlsFault; the session was
    not opened then, and is not told of an end.
    """
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()
    link = Link(config, lambda: session, loop, ready)
    try:
        async with asyncio.timeout(timeout):
            await loop.create_connection(lambda: link, host, port, local_addr=None if source is None else (source, 0))
            await ready
    except BaseException:
        ready.cancel()
        link.abort()
        raise
    return link
