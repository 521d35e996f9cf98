"""Whatever is taken as From or Sender is read by the tolerant parser, and by the standard library's, as the same addresses."""

from email.utils import getaddresses

from postwren.message.address import parse_addresses
from postwren.message.authorlist import AuthorInvalid, parse_authors

SEEDS = [
    b"Ann Lee <ann@example.org>",
    b'"Lee, Ann" <ann@example.org>, bob@example.org (Bob)',
    b"=?utf-8?q?=C3=84nn?= <ann@[192.0.2.1]>",
    b'J. Q. "Lee" <"a b"@example.org>, <x@y>',
    b"friends: a@b;",
    b"(c) <a@b>",
]


def target(data: bytes) -> None:
    try:
        authors = parse_authors(data)
    except AuthorInvalid:
        return
    wanted = [author.addr_spec for author in authors]
    plain = [spec for spec in wanted if '"' not in spec]
    found = [b"%s@%s" % (a.mailbox or b"", a.host or b"") for a in parse_addresses(data)]
    assert len(found) == len(wanted), (found, wanted)
    if len(plain) == len(wanted):
        assert [octets.decode() for octets in found] == wanted, (found, wanted)
        strict = [address for _, address in getaddresses([data.decode()])]
        assert not any(strict) or strict == wanted, (strict, wanted)
