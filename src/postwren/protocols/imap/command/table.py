"""Which parser and which formatter belong to which command: the tables, and the two functions over them."""

from collections.abc import Callable
from functools import partial
from typing import Any, Final, TypeAlias

from postwren.protocols.imap.command import (
    Command,
    append,
    fetch,
    login,
    mailbox,
    notify,
    search,
    searching,
    select,
    sharing,
    store,
    url,
)
from postwren.protocols.imap.command import list as listing
from postwren.protocols.imap.command.nullary import NULLARY
from postwren.protocols.imap.fault import Fault, Unparsable
from postwren.protocols.imap.primitive import Scanner
from postwren.protocols.imap.writer import Literals, Piece, Writer
from postwren.wire.errors import LocalProtocolError

__all__ = [
    "FORMATTERS",
    "PARSERS",
    "READERS",
    "UID_PARSERS",
    "UID_READERS",
    "Entry",
    "Parser",
    "find_entry",
    "format_command",
    "parse_command",
]

Parser: TypeAlias = Callable[[Scanner], Command]
Entry: TypeAlias = tuple[type[Command], Parser]
Reader: TypeAlias = Callable[[Scanner], append.Reading[append.Append] | append.Reading[append.Replace]]


def _alone(command: Command) -> Parser:
    return lambda _: command


PARSERS: Final[dict[bytes, Entry]] = {
    **{keyword: (type(command), _alone(command)) for keyword, command in NULLARY.items()},
    b"APPEND": (append.Append, append.parse_append),
    b"AUTHENTICATE": (login.Authenticate, login.parse_authenticate),
    b"CANCELUPDATE": (search.CancelUpdate, searching.parse_cancel_update),
    b"COMPRESS": (login.Compress, login.parse_compress),
    b"COPY": (store.Copy, store.parse_copy),
    b"CREATE": (mailbox.Create, mailbox.parse_create),
    b"DELETE": (mailbox.Delete, mailbox.parse_delete),
    b"DELETEACL": (sharing.DeleteAcl, sharing.parse_delete_acl),
    b"ENABLE": (login.Enable, login.parse_enable),
    b"ESEARCH": (search.Esearch, searching.parse_esearch),
    b"EXAMINE": (select.Select, partial(select.parse_select, is_examine=True)),
    b"FETCH": (fetch.Fetch, fetch.parse_fetch),
    b"GENURLAUTH": (url.GenUrlAuth, url.parse_gen_url_auth),
    b"GETACL": (sharing.GetAcl, sharing.parse_get_acl),
    b"GETMETADATA": (sharing.GetMetadata, sharing.parse_get_metadata),
    b"GETQUOTA": (sharing.GetQuota, sharing.parse_get_quota),
    b"GETQUOTAROOT": (sharing.GetQuotaRoot, sharing.parse_get_quota_root),
    b"ID": (login.Id, login.parse_id),
    b"LIST": (listing.List, listing.parse_list),
    b"LISTRIGHTS": (sharing.ListRights, sharing.parse_list_rights),
    b"LOGIN": (login.Login, login.parse_login),
    b"LSUB": (listing.Lsub, listing.parse_lsub),
    b"MOVE": (store.Move, store.parse_move),
    b"MYRIGHTS": (sharing.MyRights, sharing.parse_my_rights),
    b"NOTIFY": (notify.Notify, notify.parse_notify),
    b"RENAME": (mailbox.Rename, mailbox.parse_rename),
    b"REPLACE": (append.Replace, append.parse_replace),
    b"RESETKEY": (url.ResetKey, url.parse_reset_key),
    b"SEARCH": (search.Search, searching.parse_search),
    b"SELECT": (select.Select, select.parse_select),
    b"SETACL": (sharing.SetAcl, sharing.parse_set_acl),
    b"SETMETADATA": (sharing.SetMetadata, sharing.parse_set_metadata),
    b"SETQUOTA": (sharing.SetQuota, sharing.parse_set_quota),
    b"SORT": (search.Sort, searching.parse_sort),
    b"STATUS": (listing.Status, listing.parse_status),
    b"STORE": (store.Store, store.parse_store),
    b"SUBSCRIBE": (mailbox.Subscribe, mailbox.parse_subscribe),
    b"THREAD": (search.Thread, searching.parse_thread),
    b"UNSUBSCRIBE": (mailbox.Unsubscribe, mailbox.parse_unsubscribe),
    b"URLFETCH": (url.UrlFetch, url.parse_url_fetch),
}
"""By the word behind the tag, in capitals."""

UID_PARSERS: Final[dict[bytes, Entry]] = {
    b"COPY": (store.Copy, partial(store.parse_copy, is_uid=True)),
    b"EXPUNGE": (store.UidExpunge, store.parse_uid_expunge),
    b"FETCH": (fetch.Fetch, partial(fetch.parse_fetch, is_uid=True)),
    b"MOVE": (store.Move, partial(store.parse_move, is_uid=True)),
    b"REPLACE": (append.Replace, partial(append.parse_replace, is_uid=True)),
    b"SEARCH": (search.Search, partial(searching.parse_search, is_uid=True)),
    b"SORT": (search.Sort, partial(searching.parse_sort, is_uid=True)),
    b"STORE": (store.Store, partial(store.parse_store, is_uid=True)),
    b"THREAD": (search.Thread, partial(searching.parse_thread, is_uid=True)),
}
"""By the word behind UID."""

READERS: Final[dict[bytes, Reader]] = {b"APPEND": append.read_append, b"REPLACE": append.read_replace}
UID_READERS: Final[dict[bytes, Reader]] = {b"REPLACE": partial(append.read_replace, is_uid=True)}
"""Commands whose literals stream."""


def find_entry(keyword: bytes, uid_keyword: bytes | None) -> Entry:
    """The type of a command and its parser; keywords in capitals, `uid_keyword` is the one behind UID. Raises Unparsable."""
    entry = PARSERS.get(keyword) if uid_keyword is None else UID_PARSERS.get(uid_keyword)
    if entry is None:
        raise Unparsable(Fault.UNKNOWN)
    return entry


def parse_command(parser: Parser, scanner: Scanner) -> Command:
    """All of the command, from behind its keyword. Raises Unparsable."""
    command = parser(scanner)
    scanner.end()
    return command


Formatter: TypeAlias = Callable[[Writer, Any], None]

FORMATTERS: Final[dict[type[Command], Formatter]] = {
    append.Append: append.format_append,
    append.Replace: append.format_replace,
    fetch.Fetch: fetch.format_fetch,
    listing.List: listing.format_list,
    listing.Lsub: listing.format_lsub,
    listing.Status: listing.format_status,
    login.Authenticate: login.format_authenticate,
    login.Compress: login.format_compress,
    login.Enable: login.format_enable,
    login.Id: login.format_id,
    login.Login: login.format_login,
    mailbox.Create: mailbox.format_create,
    mailbox.Delete: mailbox.format_delete,
    mailbox.Rename: mailbox.format_rename,
    mailbox.Subscribe: mailbox.format_subscribe,
    mailbox.Unsubscribe: mailbox.format_unsubscribe,
    notify.Notify: notify.format_notify,
    search.CancelUpdate: searching.format_cancel_update,
    search.Esearch: searching.format_esearch,
    search.Search: searching.format_search,
    search.Sort: searching.format_sort,
    search.Thread: searching.format_thread,
    select.Select: select.format_select,
    sharing.DeleteAcl: sharing.format_delete_acl,
    sharing.GetAcl: sharing.format_get_acl,
    sharing.GetMetadata: sharing.format_get_metadata,
    sharing.GetQuota: sharing.format_get_quota,
    sharing.GetQuotaRoot: sharing.format_get_quota_root,
    sharing.ListRights: sharing.format_list_rights,
    sharing.MyRights: sharing.format_my_rights,
    sharing.SetAcl: sharing.format_set_acl,
    sharing.SetMetadata: sharing.format_set_metadata,
    sharing.SetQuota: sharing.format_set_quota,
    store.Copy: store.format_copy,
    store.Move: store.format_move,
    store.Store: store.format_store,
    store.UidExpunge: store.format_uid_expunge,
    url.GenUrlAuth: url.format_gen_url_auth,
    url.ResetKey: url.format_reset_key,
    url.UrlFetch: url.format_url_fetch,
}
_WORDS: Final[dict[type[Command], bytes]] = {type(command): keyword for keyword, command in NULLARY.items()}


def format_command(
    tag: str, command: Command, literals: Literals = Literals.SYNCHRONIZING, *, is_utf8: bool = False
) -> list[Piece]:
    """What a client sends, in pieces: octets, `WAIT` before a literal that the server must ask for, `MessageBody` where a message
    of APPEND or REPLACE goes. LocalProtocolError for what has no form on the wire."""
    writer = Writer(literals, is_utf8=is_utf8)
    writer.put(tag.encode("ascii"), b" ")
    formatter = FORMATTERS.get(type(command))
    if formatter is not None:
        try:
            formatter(writer, command)
        except UnicodeEncodeError as error:
            raise LocalProtocolError("a text that its charset cannot say") from error
        return writer.finish()
    word = _WORDS.get(type(command))
    if word is None:
        raise LocalProtocolError("not a command")
    writer.put(word)
    return writer.finish()
