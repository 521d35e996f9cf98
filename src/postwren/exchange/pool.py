"""Connections that stand and wait a few seconds for the next message, and the count of all that there are."""

import asyncio
from collections.abc import Hashable

from postwren.exchange.connection import Connection
from postwren.exchange.limits import OutboundLimits

__all__ = ["Pool"]


class Pool:
    """Idle ones by where they lead. Whoever takes one owns it until it is given back."""

    def __init__(self, limits: OutboundLimits) -> None:
        self._limits = limits
        self._idle: dict[Hashable, list[tuple[Connection, asyncio.TimerHandle]]] = {}
        self._ending: set[asyncio.Task[None]] = set()

    def take(self, place: Hashable) -> Connection | None:
        """The one that came back last, if it is still of use."""
        while waiting := self._idle.get(place):
            connection, timer = waiting.pop()
            timer.cancel()
            if not waiting:
                del self._idle[place]
            if connection.is_usable:
                return connection
            self.end(connection)
        return None

    def give_back(self, place: Hashable, connection: Connection) -> None:
        """For the next message, or to be ended where it has served enough."""
        if not connection.is_usable or connection.transactions >= self._limits.messages:
            self.end(connection)
            return
        timer = asyncio.get_running_loop().call_later(self._limits.idle, self._expire, place, connection)
        self._idle.setdefault(place, []).append((connection, timer))

    def end(self, connection: Connection) -> None:
        """Say QUIT behind everybody's back."""
        task = asyncio.get_running_loop().create_task(connection.quit())
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    @property
    def idle(self) -> int:
        """How many wait."""
        return sum(map(len, self._idle.values()))

    def end_idle(self) -> None:
        """All that wait."""
        for waiting in self._idle.values():
            for connection, timer in waiting:
                timer.cancel()
                self.end(connection)
        self._idle.clear()

    async def close(self) -> None:
        """End all and wait for it: as long as QUIT may take."""
        self.end_idle()
        await asyncio.gather(*self._ending)

    def _expire(self, place: Hashable, connection: Connection) -> None:
        waiting = [kept for kept in self._idle.pop(place, ()) if kept[0] is not connection]
        if waiting:
            self._idle[place] = waiting
        self.end(connection)
