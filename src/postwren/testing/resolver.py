"""A DNS that says what a test wrote down.

resolver = ScriptedResolver({("_imaps._tcp.example.org", "SRV"): [Srv(0, 1, 993, "imap.example.org")]})
resolver.asked          # every question, in order
"""

import asyncio
from collections.abc import Container, Mapping, Sequence

from postwren.wire.resolver import Answer, Kind, Record, ResolverFailed

__all__ = ["ScriptedResolver"]


class ScriptedResolver:
    """What is not written down does not exist. Questions for names in `failing` fail, and those in `silent` are never answered;
    with `is_secure` all answers are proven."""

    def __init__(
        self,
        records: Mapping[tuple[str, Kind], Sequence[Record]],
        *,
        is_secure: bool = False,
        failing: Container[str] = (),
        silent: Container[str] = (),
    ) -> None:
        self._records = records
        self._is_secure = is_secure
        self._failing = failing
        self._silent = silent
        self.asked: list[tuple[str, Kind]] = []

    async def query(self, name: str, kind: Kind) -> Answer:
        self.asked.append((name, kind))
        if name in self._silent:
            await asyncio.get_running_loop().create_future()
        if name in self._failing:
            raise ResolverFailed("a failure was written down")
        return Answer(tuple(self._records.get((name, kind), ())), self._is_secure)
