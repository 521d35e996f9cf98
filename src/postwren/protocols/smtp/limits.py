"""What a connection may ask of us, stated once (RFC 5321 4.5.3.1 gives the least that must be allowed)."""

from dataclasses import dataclass

__all__ = ["Limits"]


@dataclass(frozen=True, slots=True)
class Limits:
    """Octets and counts; a line is counted with its CR and without its LF."""

    command_line: int = 2048  # RFC 5321 4.5.3.1.4 asks for 512, its extensions for about 1,500
    auth_line: int = 12288  # RFC 4954 4
    message_size: int = 50 * 1024 * 1024
    recipients: int = 100  # RFC 5321 4.5.3.1.8
    authenticated_recipients: int = 1000
    hold_seconds: int = 0  # FUTURERELEASE (RFC 4865 4); not offered where it is 0
    reply_line: int = 2048  # client: RFC 5321 4.5.3.1.5 asks for 512
    reply_lines: int = 200
