"""A name server that answers from a zone file: python -m tests.interop.nameserver ZONE, on 127.0.0.1, port 53."""

import socket
import sys
from pathlib import Path

import dns.message
import dns.rcode
import dns.rrset


def main(zone: str) -> None:
    """Until it is ended."""
    rows: dict[tuple[str, str], list[str]] = {}
    for line in Path(zone).read_text().splitlines():
        name, kind, value = line.split(None, 2)
        rows.setdefault((name, kind), []).append(value)
    names = {name for name, _ in rows}
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 53))
        while True:
            octets, peer = sock.recvfrom(4096)
            question = dns.message.from_wire(octets)
            answer = dns.message.make_response(question)
            name, kind = str(question.question[0].name), question.question[0].rdtype.name
            if values := rows.get((name, kind)):
                answer.answer.append(dns.rrset.from_text_list(question.question[0].name, 60, "IN", kind, values))
            elif name not in names:
                answer.set_rcode(dns.rcode.NXDOMAIN)
            sock.sendto(answer.to_wire(), peer)


if __name__ == "__main__":
    main(sys.argv[1])
