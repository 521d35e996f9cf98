"""NAMESPACE, ACL, LISTRIGHTS, MYRIGHTS, QUOTA, QUOTAROOT, METADATA (RFC 9051 section 7.3.2, RFC 2342, 4314, 9208, 5464)."""

from dataclasses import dataclass

from postwren.protocols.imap import quirk
from postwren.protocols.imap.fault import Unparsable
from postwren.protocols.imap.reader import Reader, Tree
from postwren.protocols.imap.value import format_astring, format_mailbox, format_octets, format_quoted, format_string

__all__ = [
    "Acl",
    "ListedRights",
    "Metadata",
    "MetadataChanged",
    "NamespaceEntry",
    "Namespaces",
    "OwnRights",
    "Quota",
    "QuotaResource",
    "QuotaRoots",
    "format_acl",
    "format_listed_rights",
    "format_metadata",
    "format_metadata_changed",
    "format_namespaces",
    "format_own_rights",
    "format_quota",
    "format_quota_roots",
    "parse_acl",
    "parse_listed_rights",
    "parse_metadata",
    "parse_namespaces",
    "parse_own_rights",
    "parse_quota",
    "parse_quota_roots",
]


@dataclass(frozen=True, slots=True)
class NamespaceEntry:
    """A prefix of names, with the delimiter in it (`Other Users/`). `extensions`: (name, values) of RFC 2342 section 5."""

    prefix: str
    delimiter: str | None = "/"
    extensions: tuple[tuple[str, tuple[str, ...]], ...] = ()


@dataclass(frozen=True, slots=True)
class Namespaces:
    """Empty is NIL."""

    personal: tuple[NamespaceEntry, ...]
    others: tuple[NamespaceEntry, ...] = ()
    shared: tuple[NamespaceEntry, ...] = ()


@dataclass(frozen=True, slots=True)
class Acl:
    """RFC 4314 section 3.6: (identifier, rights)."""

    mailbox: str
    entries: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class ListedRights:
    """RFC 4314 section 3.7: what is always granted, then groups that are granted together."""

    mailbox: str
    identifier: str
    required: str
    optional: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class OwnRights:
    """MYRIGHTS: RFC 4314 section 3.8."""

    mailbox: str
    rights: str


@dataclass(frozen=True, slots=True)
class QuotaResource:
    """RFC 9208 section 5: STORAGE counts units of 1,024 octets."""

    name: str
    usage: int
    limit: int


@dataclass(frozen=True, slots=True)
class Quota:
    root: str
    resources: tuple[QuotaResource, ...]


@dataclass(frozen=True, slots=True)
class QuotaRoots:
    """QUOTAROOT."""

    mailbox: str
    roots: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Metadata:
    """RFC 5464 section 4.4.1: the values that were asked for; an empty mailbox name is the server, a value of None is NIL."""

    mailbox: str
    values: tuple[tuple[str, bytes | None], ...]


@dataclass(frozen=True, slots=True)
class MetadataChanged:
    """RFC 5464 section 4.4.2: unsolicited; which entries have changed."""

    mailbox: str
    entries: tuple[str, ...]


def format_namespaces(response: Namespaces, is_utf8: bool) -> bytes:
    """namespace-response"""
    kinds = (response.personal, response.others, response.shared)
    return b"* NAMESPACE %b\r\n" % b" ".join([_namespace(entries, is_utf8) for entries in kinds])


def _namespace(entries: tuple[NamespaceEntry, ...], is_utf8: bool) -> bytes:
    """namespace"""
    if not entries:
        return b"NIL"
    pieces = []
    for entry in entries:
        delimiter = b"NIL" if entry.delimiter is None else format_quoted(entry.delimiter)
        extensions = [
            b" %b (%b)" % (format_string(name, is_utf8), b" ".join([format_string(value, is_utf8) for value in values]))
            for name, values in entry.extensions
        ]
        prefix = format_mailbox(entry.prefix, is_utf8)
        if not prefix.startswith((b'"', b"{")):
            prefix = b'"%b"' % prefix  # a string, not an astring
        pieces.append(b"(%b %b%b)" % (prefix, delimiter, b"".join(extensions)))
    return b"(%b)" % b"".join(pieces)


def format_acl(response: Acl, is_utf8: bool) -> bytes:
    """acl-data"""
    pieces = [b"* ACL " + format_mailbox(response.mailbox, is_utf8)]
    for entry in response.entries:
        pieces += [format_astring(word, is_utf8) for word in entry]
    return b" ".join(pieces) + b"\r\n"


def format_listed_rights(response: ListedRights, is_utf8: bool) -> bytes:
    """listrights-data"""
    words = (response.identifier, response.required, *response.optional)
    pieces = [format_mailbox(response.mailbox, is_utf8), *[format_astring(word, is_utf8) for word in words]]
    return b"* LISTRIGHTS %b\r\n" % b" ".join(pieces)


def format_own_rights(response: OwnRights, is_utf8: bool) -> bytes:
    """myrights-data"""
    return b"* MYRIGHTS %b %b\r\n" % (format_mailbox(response.mailbox, is_utf8), format_astring(response.rights, is_utf8))


def format_quota(response: Quota, is_utf8: bool) -> bytes:
    """quota-response"""
    resources = [b"%b %d %d" % (resource.name.encode(), resource.usage, resource.limit) for resource in response.resources]
    return b"* QUOTA %b (%b)\r\n" % (format_astring(response.root, is_utf8), b" ".join(resources))


def format_quota_roots(response: QuotaRoots, is_utf8: bool) -> bytes:
    """quotaroot-response"""
    roots = [format_astring(root, is_utf8) for root in response.roots]
    return b"* QUOTAROOT %b\r\n" % b" ".join([format_mailbox(response.mailbox, is_utf8), *roots])


def format_metadata(response: Metadata, is_utf8: bool) -> bytes:
    """metadata-resp with entry-values"""
    pairs = [format_astring(entry, is_utf8) + b" " + format_octets(value) for entry, value in response.values]
    return b"* METADATA %b (%b)\r\n" % (format_mailbox(response.mailbox, is_utf8), b" ".join(pairs))


def format_metadata_changed(response: MetadataChanged, is_utf8: bool) -> bytes:
    """metadata-resp with entry-list"""
    entries = [format_astring(entry, is_utf8) for entry in response.entries]
    return b"* METADATA %b\r\n" % b" ".join([format_mailbox(response.mailbox, is_utf8), *entries])


def parse_namespaces(reader: Reader) -> Namespaces:
    """namespace-response, behind the word"""
    kinds = []
    for _ in range(3):
        reader.space()
        kinds.append(tuple([_parse_namespace(reader, tree) for tree in reader.list_of()]))
    return Namespaces(*kinds)


def _parse_namespace(reader: Reader, tree: Tree) -> NamespaceEntry:
    match tree:
        case [bytes() as prefix, (bytes() | None) as delimiter, *rest]:
            extensions = [
                (
                    name.decode("ascii", "replace"),
                    tuple([value.decode("utf-8", "replace") for value in values if isinstance(value, bytes)]),
                )
                for name, values in zip(rest[::2], rest[1::2], strict=False)
                if isinstance(name, bytes) and isinstance(values, list)
            ]
            return NamespaceEntry(
                quirk.mailbox_name(prefix, reader.is_utf8), reader.text_of(delimiter) or None, tuple(extensions)
            )
    raise Unparsable


def _parse_words(reader: Reader) -> list[str]:
    """*(SP astring), to the end"""
    words = []
    while not reader.is_ended():
        reader.space()
        if not reader.is_ended() or reader.is_strict:
            words.append(reader.atext())
            reader.count()
    return words


def parse_acl(reader: Reader) -> Acl:
    """acl-data, behind the word"""
    reader.space()
    name = reader.mailbox()
    words = _parse_words(reader)
    if len(words) % 2:
        raise Unparsable
    return Acl(name, tuple(zip(words[::2], words[1::2], strict=True)))


def parse_listed_rights(reader: Reader) -> ListedRights:
    """listrights-data, behind the word"""
    reader.space()
    name = reader.mailbox()
    words = _parse_words(reader)
    if len(words) < 2:
        raise Unparsable
    return ListedRights(name, words[0], words[1], tuple(words[2:]))


def parse_own_rights(reader: Reader) -> OwnRights:
    """myrights-data, behind the word"""
    reader.space()
    name = reader.mailbox()
    reader.space()
    return OwnRights(name, reader.atext())


def parse_quota(reader: Reader) -> Quota:
    """quota-response, behind the word"""
    reader.space()
    root = reader.atext()
    reader.space()
    words = reader.list_of(has_atoms=True)
    resources = []
    for name, usage, limit in zip(words[::3], words[1::3], words[2::3], strict=len(words) % 3 == 0):
        if not isinstance(usage, int) or not isinstance(limit, int):
            raise Unparsable
        resources.append(QuotaResource(name.decode("ascii", "replace") if isinstance(name, bytes) else str(name), usage, limit))
    return Quota(root, tuple(resources))


def parse_quota_roots(reader: Reader) -> QuotaRoots:
    """quotaroot-response, behind the word"""
    reader.space()
    return QuotaRoots(reader.mailbox(), tuple(_parse_words(reader)))


def parse_metadata(reader: Reader) -> Metadata | MetadataChanged:
    """metadata-resp, behind the word"""
    reader.space()
    name = reader.mailbox()
    if not reader.is_at(b" ("):
        return MetadataChanged(name, tuple(_parse_words(reader)))
    reader.space()
    return Metadata(name, reader.parenthesized(lambda: _parse_entry(reader), may_be_empty=not reader.is_strict))


def _parse_entry(reader: Reader) -> tuple[str, bytes | None]:
    """entry-value"""
    entry = reader.atext()
    reader.space()
    return entry, reader.nstring()
