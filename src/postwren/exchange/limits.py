"""What outbound asks of other hosts, and of this one: stated once."""

from dataclasses import dataclass

__all__ = ["OutboundLimits"]


@dataclass(frozen=True, slots=True)
class OutboundLimits:
    """Times are seconds, each for the whole reply and not for an octet of it: RFC 5321 section 4.5.3.2."""

    connect: float = 30
    greeting: float = 300  # 4.5.3.2.1
    hello: float = 300
    mail: float = 300  # 4.5.3.2.2
    recipient: float = 300  # 4.5.3.2.3
    data: float = 120  # 4.5.3.2.4
    block: float = 180  # 4.5.3.2.5: for 64 kB, so that a host that takes it octet by octet is left
    message: float = 600  # 4.5.3.2.6
    handshake: float = 60
    envelope: float = 1200  # from MAIL to the answer to DATA, whatever the number of recipients
    quit: float = 5
    recipients: int = 100  # of one transaction: RFC 5321 section 4.5.3.1.8
    messages: int = 100  # over one connection
    calls: int = 12  # addresses that are tried for a domain before it rests
    connections: int = 100
    connections_of_domain: int = 5
    idle: float = 5  # that a connection is kept for the next message
    rest: float = 300  # of a domain none of whose hosts answers: twice as long each time
    longest_rest: float = 3600
