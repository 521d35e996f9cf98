"""Listeners: sockets that accept, one link and one session per connection, and an orderly end.

Options that every accepted connection needs (no delay, keepalive) are set on the listening socket, from which Linux lets them
be inherited. Out of file descriptors, both event loops drop or delay the new connection and go on.
"""

import asyncio
import contextlib
import errno
import socket
import stat
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final, TypeAlias

from postwren.transport.link import Link, LinkConfig
from postwren.transport.session import Session

__all__ = ["BACKLOG", "Listener", "Place"]

BACKLOG: Final = 4096
_KEEPALIVE_AFTER: Final = 300
"""Seconds of silence; with the system's intervals a peer that vanished is found within half an hour, by writes sooner."""

Place: TypeAlias = tuple[str, int] | Path
"""Where to listen: IP address and port (0: any free one), or the path of a Unix socket."""


class Listener:
    """All places of one service. `factory` makes the session of a connection that stands."""

    def __init__(self, config: LinkConfig, factory: Callable[[], Session]) -> None:
        self._config = replace(config, begun=self._begun, lost=self._lost)
        self._factory = factory
        self._links: set[Link] = set()
        self._servers: list[asyncio.Server] = []
        self._paths: list[Path] = []
        self._empty = asyncio.Event()
        self._empty.set()
        self.ports: list[int] = []  # of the IP places, in their order

    async def start(self, places: Sequence[Place]) -> None:
        """Bind all of them and accept; raises OSError, whose `filename` is the place, with nothing left bound. "[::]" beside
        another place is left out where the machine has no IPv6."""
        sockets = self._bind_all(places)
        loop = asyncio.get_running_loop()
        for sock in sockets:
            if sock.family == socket.AF_UNIX:
                self._servers.append(await loop.create_unix_server(self._link, sock=sock, backlog=BACKLOG))
            else:
                self._servers.append(await loop.create_server(self._link, sock=sock, backlog=BACKLOG))

    @property
    def links(self) -> frozenset[Link]:
        """The connections that stand now."""
        return frozenset(self._links)

    def stop_accepting(self) -> None:
        """Close the listening sockets; connections go on."""
        for server in self._servers:
            server.close()
        for path in self._paths:
            path.unlink(missing_ok=True)
        self._servers, self._paths = [], []

    async def close(self, grace: float) -> None:
        """Stop accepting; every session may finish the command or message under way, at most `grace` seconds; then all are
        gone."""
        self.stop_accepting()
        for link in list(self._links):
            link.end()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._empty.wait(), grace)
        for link in list(self._links):
            link.abort()
        await self._empty.wait()

    def _link(self) -> Link:
        return Link(self._config, self._factory, asyncio.get_running_loop())

    def _begun(self, link: Link) -> None:
        self._links.add(link)
        self._empty.clear()

    def _lost(self, link: Link) -> None:
        self._links.discard(link)
        if not self._links:
            self._empty.set()

    def _bind_all(self, places: Sequence[Place]) -> list[socket.socket]:
        bound: list[socket.socket] = []
        for place in places:
            try:
                bound.append(self._bind(place))
            except OSError as error:
                if error.errno == errno.EAFNOSUPPORT and not isinstance(place, Path) and place[0] == "::" and len(places) > 1:
                    continue
                for sock in bound:
                    sock.close()
                error.filename = _shown(place)
                raise
        return bound

    def _bind(self, place: Place) -> socket.socket:
        if isinstance(place, Path):
            return self._bind_path(place)
        host, port = place
        sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            if hasattr(socket, "TCP_KEEPIDLE"):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _KEEPALIVE_AFTER)
            if sock.family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.bind((host, port))
        except OSError:
            sock.close()
            raise
        self.ports.append(sock.getsockname()[1])
        return sock

    def _bind_path(self, path: Path) -> socket.socket:
        """A socket left behind by a server that died is taken over."""
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            with contextlib.suppress(FileNotFoundError):
                if stat.S_ISSOCK(path.lstat().st_mode):
                    path.unlink()
            sock.bind(str(path))
        except OSError:
            sock.close()
            raise
        self._paths.append(path)
        return sock


def _shown(place: Place) -> str:
    if isinstance(place, Path):
        return str(place)
    host, port = place
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
