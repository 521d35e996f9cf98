"""What the server's side of an IMAP connection takes from a client, in one place (A-40 to A-42). Octets, without CRLF.

Messages of APPEND and REPLACE stream: their size is the session's to judge, and they count in none of these but
`discard_message`. RFC 2683 section 3.2.1.5 asks for lines of 8000 octets; sets of UIDs make them longer."""

from dataclasses import dataclass

__all__ = ["ClientLimits", "Limits"]


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


@dataclass(frozen=True, slots=True)
class ClientLimits:
    """What a client takes from a server (A-90). Octets, without CRLF. A search in a large mailbox is one line; messages
    stream."""

    greeting_line: int = 65_536  # and every line before login
    line: int = 16 << 20
    literal: int = 1 << 20  # of literals that are no part of a message
    literals: int = 100_000  # of one response
    response: int = 32 << 20  # in memory: lines and literals together
    section: int = 16_384  # a larger part of a message comes in pieces
    message: int = 1 << 32  # of one part of a message that comes in pieces
