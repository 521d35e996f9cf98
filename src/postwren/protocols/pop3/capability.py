"""What a server says it can do (RFC 2449 sections 5 and 6): the lines of CAPA, both ways.

Tags compare without regard to case; parameters are kept as they came. Our server's own list is in `server/pop3`.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from postwren.wire.errors import LocalProtocolError

__all__ = ["Capabilities"]

LONGEST_LINE = 512  # octets with CRLF


@dataclass(frozen=True, slots=True)
class Capabilities:
    """Parameters by tag, in the order of the wire."""

    tags: dict[str, tuple[str, ...]]

    def __contains__(self, tag: str) -> bool:
        return tag in self.tags

    def parameters(self, tag: str) -> tuple[str, ...]:
        """The parameters of a tag; () where it is not announced or has none."""
        return self.tags.get(tag, ())

    def format(self) -> bytes:
        """The lines, each with its CRLF, without the end of the listing."""
        lines = [" ".join((tag, *parameters)).encode() + b"\r\n" for tag, parameters in self.tags.items()]
        if any(len(line) > LONGEST_LINE or line.count(b"\n") > 1 for line in lines):
            raise LocalProtocolError("a capability is one line of at most 512 octets")
        return b"".join(lines)

    @classmethod
    def parse(cls, lines: Iterable[bytes]) -> "Capabilities":
        """From lines without their ends; empty lines and octets outside ASCII are passed over, a tag named twice adds up."""
        tags: dict[str, tuple[str, ...]] = {}
        for line in lines:
            words = line.decode("ascii", "ignore").split()
            if words:
                tag = words[0].upper()
                tags[tag] = tags.get(tag, ()) + tuple(words[1:])
        return cls(tags)
