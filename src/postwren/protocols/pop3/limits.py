"""What one side of a POP3 connection takes from the other, in one place. Line lengths count the CRLF.

RFC 2449 section 4 asks a server for commands of 255 octets and allows replies of 512; RFC 5034 section 4 sends SASL
responses on lines of their own, which tokens make long.
"""

from dataclasses import dataclass

__all__ = ["Limits"]


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of both roles."""

    command_line: int = 512  # any command but AUTH
    auth_line: int = 12288  # AUTH with an initial response, and each line of its exchange
    bad_commands: int = 3  # before login; the next one ends the connection
    reply_line: int = 8192  # a server's status line or challenge: the RFC's 512, and what servers really say
    listing_line: int = 2048  # a line of CAPA, LIST, UIDL, LANG
    listing_lines: int = 2_000_000  # of one listing
