"""NAMESPACE, ACL, LISTRIGHTS, MYRIGHTS, QUOTA, QUOTAROOT, METADATA (RFC 9051 section 7.3.2, RFC 2342, 4314, 9208, 5464)."""

from dataclasses import dataclass

from postwren.protocols.imap.response.value import format_astring, format_mailbox, format_octets, format_quoted, format_string

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
