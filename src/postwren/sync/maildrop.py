"""What a listing of a POP3 maildrop means: what is new, what is known, what is due to be deleted there. Pure.

A UIDL is a promise that servers break (RFC 1939 section 7): it is missing, there twice, another one at the next login, or another
message's. So it is believed only as far as nothing can be lost by it:

- A message is passed over without its octets only if its UIDL is listed once, is taken, and the size is the one it had. At worst
  it is not here; it is still there.
- A message is deleted only if its octets came in the same session and are durable, or if its header came in the same session and
  is that of the copy. Numbers stand for the same messages throughout a session.
- Octets that come under another name are a message that is taken already, if some row with these octets is nobody else's and
  was not deleted there by us.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Final, NamedTuple

from postwren.mailstore.replica import Taken, TakenState

__all__ = ["REMEMBERED", "Book", "Listed", "Look", "Rows", "listed", "look"]

REMEMBERED: Final = 30 * 24 * 3600
"""Seconds for which a message is remembered that is not listed any more."""


class Listed(NamedTuple):
    """A message of the maildrop in this session. `uidl` is None where none tells it from the others."""

    number: int
    size: int
    uidl: bytes | None


class Look(NamedTuple):
    """What is to be done about a maildrop: `new` must be fetched, `due` deleted, `kept` left there. Numbers ascend."""

    new: list[Listed]
    due: list[tuple[Listed, Taken]]
    kept: list[Taken]


class Rows(NamedTuple):
    """Rows to write: first some go, then some are put."""

    gone: list[bytes]
    put: list[Taken]


def listed(sizes: Mapping[int, int], uidls: Mapping[int, bytes]) -> list[Listed]:
    """The messages of LIST, with the unique ids of UIDL as far as they are unique. One that begins with NUL could be mistaken for
    ours and counts as none."""
    names = Counter(uidls.values())
    alone = {n: uidl for n, uidl in uidls.items() if names[uidl] == 1 and not uidl.startswith(b"\0")}
    return [Listed(number, size, alone.get(number)) for number, size in sorted(sizes.items())]


def look(messages: Iterable[Listed], taken: Mapping[bytes, Taken], is_due: Callable[[Taken], bool]) -> Look:
    """`is_due`: whether a message that is kept here is to be deleted there."""
    found = Look([], [], [])
    for message in messages:
        row = None if message.uidl is None else taken.get(message.uidl)
        if row is None or row.size != message.size:
            found.new.append(message)
        elif is_due(row):
            found.due.append((message, row))
        else:
            found.kept.append(row)
    return found


class Book:
    """The rows of a maildrop during one session: which message that comes is whose row, and what becomes of the rows. Each row
    stands for one message at most, so that what is there twice is kept twice."""

    def __init__(self, taken: Mapping[bytes, Taken], found: Look) -> None:
        self._held: dict[bytes, Taken] = {row.uidl: row for row in found.kept} | {row.uidl: row for _, row in found.due}
        self._free: dict[bytes, Taken] = {}
        self._by_content: defaultdict[bytes, list[bytes]] = defaultdict(list)
        self._entered: set[bytes] = set()  # names of messages that came; their rows may be on their way
        self._gone: set[bytes] = set()
        self._moved: dict[bytes, Taken] = {}
        for row in taken.values():
            if row.uidl not in self._held:
                self._release(row)

    def _release(self, row: Taken) -> None:
        self._free[row.uidl] = row
        self._by_content[row.content_id].append(row.uidl)

    def doubt(self, row: Taken) -> None:
        """A due message is not what its name says: its octets must come."""
        del self._held[row.uidl]
        self._release(row)

    def enter(self, message: Listed, content_id: bytes) -> tuple[Taken | None, bytes]:
        """A message came: its row where it is kept already, and the name to keep it under."""
        row = self._claim(message, content_id)
        if message.uidl is not None:
            name = message.uidl
        elif row is not None and row.uidl.startswith(b"\0"):
            name = row.uidl
        else:
            name = self._own_name(content_id)
        if name in self._free:
            self._displace(self._free.pop(name))
        self._gone.discard(name)
        self._entered.add(name)
        return row, name

    def _claim(self, message: Listed, content_id: bytes) -> Taken | None:
        own = None if message.uidl is None else self._free.get(message.uidl)
        if own is not None and own.content_id == content_id:
            return self._taken_out(own)
        names = self._by_content.get(content_id, [])
        while names:
            row = self._free.get(names.pop())
            if row is not None and row.content_id == content_id and row.state is not TakenState.REMOVED:
                return self._taken_out(row)
        return None

    def _taken_out(self, row: Taken) -> Taken:
        del self._free[row.uidl]
        self._moved.pop(row.uidl, None)
        self._gone.add(row.uidl)
        return row

    def _displace(self, row: Taken) -> None:
        """Another message has its name: it is to be found by its octets, also after a crash."""
        if row.state is not TakenState.REMOVED:
            row = row._replace(uidl=self._own_name(row.content_id))
            self._moved[row.uidl] = row
            self._release(row)

    def _own_name(self, content_id: bytes) -> bytes:
        number = 0
        while (name := b"\0%b%d" % (content_id, number)) in self._entered or name in self._free:
            number += 1
        return name

    def turn(self) -> Rows:
        """What else is to be written with the rows of the messages that were entered since the last call."""
        rows = Rows(list(self._gone), list(self._moved.values()))
        self._gone, self._moved = set(), {}
        return rows

    def hold(self, rows: Iterable[Taken]) -> None:
        """These rows are durable."""
        self._held.update((row.uidl, row) for row in rows)

    def afterwards(self, removed: Iterable[bytes], now: int, *, is_whole: bool) -> Rows:
        """What the session changes in the rows, when it was ended by a QUIT that succeeded and `removed` these. Only one that saw
        the octets of all that is new (`is_whole`) can tell what is missing."""
        names = set(removed)
        rows = Rows([], [self._held[name]._replace(state=TakenState.REMOVED, since=now) for name in names])
        for row in self._held.values():
            if row.state is not TakenState.LISTED and row.uidl not in names:
                rows.put.append(row._replace(state=TakenState.LISTED, since=now))
        for row in self._free.values():
            if row.state is not TakenState.LISTED:
                if row.since + REMEMBERED <= now:
                    rows.gone.append(row.uidl)
            elif is_whole:
                rows.put.append(row._replace(state=TakenState.MISSING, since=now))
        return rows
