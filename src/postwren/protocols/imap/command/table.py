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

__all__ = ["FORMATTERS", "PARSERS", "READERS", "UID_PARSERS", "UID_READERS", "Parser", "format_command", "parse_command"]

Parser: TypeAlias = Callable[[Scanner], Command]
Reader: TypeAlias = Callable[[Scanner], append.Reading[append.Append] | append.Reading[append.Replace]]


def _alone(command: Command) -> Parser:
    return lambda _: command


PARSERS: Final[dict[bytes, Parser]] = {
    **{keyword: _alone(command) for keyword, command in NULLARY.items()},
    b"APPEND": append.parse_append,
    b"AUTHENTICATE": login.parse_authenticate,
    b"CANCELUPDATE": searching.parse_cancel_update,
    b"COMPRESS": login.parse_compress,
    b"COPY": store.parse_copy,
    b"CREATE": mailbox.parse_create,
    b"DELETE": mailbox.parse_delete,
    b"DELETEACL": sharing.parse_delete_acl,
    b"ENABLE": login.parse_enable,
    b"ESEARCH": searching.parse_esearch,
    b"EXAMINE": partial(select.parse_select, is_examine=True),
    b"FETCH": fetch.parse_fetch,
    b"GENURLAUTH": url.parse_gen_url_auth,
    b"GETACL": sharing.parse_get_acl,
    b"GETMETADATA": sharing.parse_get_metadata,
    b"GETQUOTA": sharing.parse_get_quota,
    b"GETQUOTAROOT": sharing.parse_get_quota_root,
    b"ID": login.parse_id,
    b"LIST": listing.parse_list,
    b"LISTRIGHTS": sharing.parse_list_rights,
    b"LOGIN": login.parse_login,
    b"LSUB": listing.parse_lsub,
    b"MOVE": store.parse_move,
    b"MYRIGHTS": sharing.parse_my_rights,
    b"NOTIFY": notify.parse_notify,
    b"RENAME": mailbox.parse_rename,
    b"REPLACE": append.parse_replace,
    b"RESETKEY": url.parse_reset_key,
    b"SEARCH": searching.parse_search,
    b"SELECT": select.parse_select,
    b"SETACL": sharing.parse_set_acl,
    b"SETMETADATA": sharing.parse_set_metadata,
    b"SETQUOTA": sharing.parse_set_quota,
    b"SORT": searching.parse_sort,
    b"STATUS": listing.parse_status,
    b"STORE": store.parse_store,
    b"SUBSCRIBE": mailbox.parse_subscribe,
    b"THREAD": searching.parse_thread,
    b"UNSUBSCRIBE": mailbox.parse_unsubscribe,
    b"URLFETCH": url.parse_url_fetch,
}
"""By the word behind the tag, in capitals."""

UID_PARSERS: Final[dict[bytes, Parser]] = {
    b"COPY": partial(store.parse_copy, is_uid=True),
    b"EXPUNGE": store.parse_uid_expunge,
    b"FETCH": partial(fetch.parse_fetch, is_uid=True),
    b"MOVE": partial(store.parse_move, is_uid=True),
    b"REPLACE": partial(append.parse_replace, is_uid=True),
    b"SEARCH": partial(searching.parse_search, is_uid=True),
    b"SORT": partial(searching.parse_sort, is_uid=True),
    b"STORE": partial(store.parse_store, is_uid=True),
    b"THREAD": partial(searching.parse_thread, is_uid=True),
}
"""By the word behind UID."""

READERS: Final[dict[bytes, Reader]] = {b"APPEND": append.read_append, b"REPLACE": append.read_replace}
UID_READERS: Final[dict[bytes, Reader]] = {b"REPLACE": partial(append.read_replace, is_uid=True)}
"""Commands whose literals stream."""


def parse_command(keyword: bytes, uid_keyword: bytes | None, scanner: Scanner) -> Command:
    """The command behind its keyword (in capitals; `uid_keyword` is the one behind UID). Raises Unparsable."""
    parser = PARSERS.get(keyword) if uid_keyword is None else UID_PARSERS.get(uid_keyword)
    if parser is None:
        raise Unparsable(Fault.UNKNOWN)
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
        formatter(writer, command)
        return writer.finish()
    word = _WORDS.get(type(command))
    if word is None:
        raise LocalProtocolError("not a command")
    writer.put(word)
    return writer.finish()
