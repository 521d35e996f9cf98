"""What the server's side of an IMAP connection takes from a client, in one place (A-40 to A-42). Octets, without CRLF.

Messages of APPEND and REPLACE stream: their size is the session's to judge, and they count in none of these but
`discard_message`. RFC 2683 section 3.2.1.5 asks for lines of 8000 octets; sets of UIDs make them longer."""

from dataclasses import dataclass

__all__ = ["Limits"]


@dataclass(frozen=True, slots=True)
class Limits:
    """`login_*` hold before login, where AUTHENTICATE with a token makes the longest line."""

    login_line: int = 12_288
    login_literal: int = 512
    login_literals: int = 4
    line: int = 65_536
    literal: int = 100_000
    literals: int = 1_000
    command: int = 1_000_000  # of one command, lines and literals together
    discard: int = 65_536  # beyond the limit of a literal: what is read and thrown away so that the next command is found
    discard_message: int = 64 << 20  # the same for messages that were refused
    tag: int = 255
    depth: int = 32  # parentheses, NOT, OR, FUZZY
    items: int = 4_096  # of all lists of a command
    bad_commands: int = 3  # before login; the next one ends the connection
