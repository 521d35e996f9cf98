"""The port to the DNS answered from a zone file: for trying several servers out on one machine.

The file is a master file (RFC 1035 section 5) with absolute names, for as many domains as one likes:

    b.example.     MX 10 mx.b.example.
    mx.b.example.  A  127.0.0.1

It needs no SOA and no TTL. What is not in it does not exist, and all of it counts as proven by DNSSEC, being one's own.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import dns.exception
import dns.rdatatype
import dns.zonefile

from postwren.transport.resolver import RECORDS, plain_name
from postwren.wire.resolver import Answer, Kind, Record

__all__ = ["ZoneInvalid", "ZoneResolver", "read_zone"]

_MOST_ALIASES: Final = 8


class ZoneInvalid(ValueError):
    """The file is no zone; the text says where and why."""


class ZoneResolver:
    """Implements `wire.resolver.Resolver`."""

    def __init__(self, text: str) -> None:
        """Raises ZoneInvalid."""
        self._records: dict[tuple[str, str], list[Record]] = {}
        self._aliases: dict[str, str] = {}
        try:
            # an `origin` for names that are not absolute would be a guess: they count from the root
            found: Iterable[Any] = dns.zonefile.read_rrsets(text, rdclass=None, default_ttl=3600, origin=".", relativize=False)
        except (dns.exception.DNSException, ValueError) as error:
            raise ZoneInvalid(str(error) or type(error).__name__) from None
        for rrset in found:
            self._add(plain_name(rrset.name), dns.rdatatype.to_text(rrset.rdtype), rrset)

    def _add(self, name: str, kind: str, data: Iterable[Any]) -> None:
        if kind == "CNAME":
            self._aliases[name] = plain_name(next(iter(data)).target)
        elif kind in RECORDS:
            make = RECORDS[kind]
            self._records.setdefault((name, kind), []).extend(make(each) for each in data)

    async def query(self, name: str, kind: Kind) -> Answer:
        """Never raises: the file is all there is."""
        name = name.rstrip(".").lower()
        for _ in range(_MOST_ALIASES):
            if name not in self._aliases:
                break
            name = self._aliases[name]
        records = tuple(self._records.get((name, kind), ()))
        return Answer(records, is_secure=True, name=name if records else "")


def read_zone(path: Path) -> ZoneResolver:
    """Raises ZoneInvalid, also where the file cannot be read."""
    try:
        return ZoneResolver(path.read_text(encoding="utf-8"))
    except ZoneInvalid as error:
        raise ZoneInvalid(f"{path}: {error}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ZoneInvalid(f"{path} cannot be read: {error}") from None
