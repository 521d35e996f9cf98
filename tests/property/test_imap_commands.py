"""What our client writes our server reads: every command, in any cut, with every kind of literal (RFC 9051 section 9)."""

import enum
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postwren.protocols.imap.command import (
    Command,
    append,
    fetch,
    login,
    mailbox,
    notify,
    nullary,
    search,
    select,
    sharing,
    store,
    url,
)
from postwren.protocols.imap.command import list as listing
from postwren.protocols.imap.command.table import FORMATTERS, format_command
from postwren.protocols.imap.event import CommandReceived, MessageChunk, MessageEnded, MessageOffered
from postwren.protocols.imap.numset import SAVED, STAR
from postwren.protocols.imap.response import Status
from postwren.protocols.imap.response.condition import Condition
from postwren.protocols.imap.server import ServerConnection
from postwren.protocols.imap.state import State
from postwren.protocols.imap.writer import WAIT, Literals, MessageBody
from postwren.wire.core import NEED_DATA
from postwren.wire.secret import Secret

ATOM_CHARS: Final = "abcXYZ019$!#&'+,-./:;<=>?@^_`|~["
atoms = st.text(ATOM_CHARS, min_size=1, max_size=12)
capitals = st.text("ABCXYZ019-_=", min_size=1, max_size=12)
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30)
numbers = st.integers(1, STAR - 1)
modseqs = st.integers(1, (1 << 63) - 1)
ends = numbers | st.just(STAR)
sets = st.lists(st.tuples(ends, ends), min_size=1, max_size=5).map(tuple)
numsets = sets | st.just(SAVED)
flags = st.lists(st.sampled_from(["\\Seen", "\\Deleted", "\\Odd"]) | atoms, max_size=4).map(tuple)
uids = st.booleans()
object_ids = st.text("aZ9_-", min_size=1, max_size=255)


def tuples(strategy: st.SearchStrategy[Any], least: int = 0) -> st.SearchStrategy[Any]:
    return st.lists(strategy, min_size=least, max_size=4).map(tuple)


def enums(kind: type[enum.Enum]) -> st.SearchStrategy[Any]:
    return st.sampled_from(list(kind))


# -- FETCH

parts = st.lists(numbers, max_size=4).map(tuple)
ranges = st.tuples(numbers, numbers).map(lambda pair: (min(pair), max(pair)))
partials = st.none() | st.tuples(st.integers(0, (1 << 63) - 1), modseqs)
backward = ranges.map(lambda pair: (-pair[0], -pair[1]))


@st.composite
def sections(draw: Any) -> fetch.Section:
    numbers_of_parts = draw(parts)
    texts_there = [text for text in fetch.SectionText if numbers_of_parts or text is not fetch.SectionText.MIME]
    text = draw(st.none() | st.sampled_from(texts_there))
    has_fields = text in (fetch.SectionText.HEADER_FIELDS, fetch.SectionText.HEADER_FIELDS_NOT)
    names = draw(st.lists(st.text('abzAZ-"(\\', min_size=1, max_size=9), min_size=1, max_size=4)) if has_fields else []
    written = tuple(name.encode() for name in names)
    label = fetch.section_label(numbers_of_parts, text, written)
    lower = tuple(name.lower() for name in written)
    return fetch.Section(numbers_of_parts, text, lower, draw(partials), draw(st.booleans()), label)


items = (
    enums(fetch.Item)
    | sections()
    | st.builds(fetch.Binary, parts, partials, st.booleans())
    | st.builds(fetch.BinarySize, parts)
    | st.builds(fetch.Preview, st.booleans())
)


@st.composite
def fetches(draw: Any) -> fetch.Fetch:
    is_uid, since = draw(uids), draw(st.none() | modseqs)
    vanished = is_uid and since is not None and draw(st.booleans())
    return fetch.Fetch(is_uid, draw(numsets), draw(tuples(items, 1)), since, vanished, draw(st.none() | ranges | backward))


# -- SEARCH

keys = st.recursive(
    st.just(search.And(()))
    | st.builds(search.NumberKey, numsets, st.booleans())
    | st.builds(search.FlagKey, st.sampled_from(["\\Seen", "\\Draft", "\\Recent"]) | atoms, st.booleans())
    | st.builds(search.DateKey, enums(search.DateWhich), st.sampled_from(["<", "=", ">="]), st.integers(-719162, 2932896))
    | st.builds(search.WithinKey, st.booleans(), numbers)
    | st.builds(search.SizeKey, st.booleans(), modseqs)
    | st.builds(search.HeaderKey, st.sampled_from(["from", "subject", "x-odd", ""]), texts)
    | st.builds(search.TextKey, st.booleans(), texts)
    | st.builds(search.ModSeqKey, modseqs)
    | st.builds(search.EmailIdKey, object_ids)
    | st.builds(search.ThreadIdKey, object_ids)
    | st.just(search.SaveDateSupportedKey())
    | st.builds(search.FilterKey, st.text("abz09", min_size=1)),
    lambda inner: (
        st.builds(search.Or, inner, inner)
        | st.builds(search.Not, inner)
        | st.builds(search.FuzzyKey, inner)
        | st.builds(search.And, tuples(inner, 2))
    ),
    max_leaves=8,
)
charsets = st.sampled_from(["UTF-8", "US-ASCII"])


@st.composite
def returns(draw: Any) -> search.Returns:
    partial = draw(st.none() | ranges | backward)
    options = [option for option in search.ReturnOption if partial is None or option is not search.ReturnOption.ALL]
    return search.Returns(draw(st.frozensets(st.sampled_from(options), min_size=int(partial is None))), partial)


def scopes(*without: search.ScopeKind) -> st.SearchStrategy[Any]:
    named = (search.ScopeKind.SUBTREE, search.ScopeKind.SUBTREE_ONE, search.ScopeKind.MAILBOXES)
    plain = [kind for kind in search.ScopeKind if kind not in named and kind not in without]
    with_names = st.builds(search.Scope, st.sampled_from(named), tuples(texts, 1))
    return st.builds(search.Scope, st.sampled_from(plain)) | with_names


# -- LIST


@st.composite
def lists(draw: Any) -> listing.List:
    selection = draw(st.frozensets(enums(listing.ListSelect)))
    if not selection & {listing.ListSelect.SUBSCRIBED, listing.ListSelect.SPECIAL_USE}:
        selection -= {listing.ListSelect.RECURSIVEMATCH}
    patterns = draw(tuples(texts | st.sampled_from(["%", "*", "a/%"]), 1))
    returned = draw(st.none() | list_returns)
    is_extended = bool(selection) or len(patterns) > 1 or returned is not None or draw(st.booleans())
    return listing.List(draw(texts), patterns, selection, returned, is_extended)


status_items = tuples(enums(listing.StatusItem), 1)
entries = st.text("/abz. -", max_size=12).map("/x{}".format)
list_returns = st.builds(
    listing.ListReturn, st.booleans(), st.booleans(), st.booleans(), st.booleans(), st.none() | status_items, tuples(entries)
)

# -- SELECT, APPEND


@st.composite
def qresync_states(draw: Any) -> select.QresyncState:
    has_match = draw(st.booleans())
    matches = (draw(sets), draw(sets)) if has_match else (None, None)
    return select.QresyncState(draw(numbers), draw(modseqs), draw(st.none() | sets), *matches)


@st.composite
def messages(draw: Any, first: int = 0) -> append.AppendMessage:
    def octets(number: int) -> append.Octets:
        is_utf8 = draw(st.booleans())
        return append.Octets(number, draw(st.integers(0, 5000)), is_utf8 or draw(st.booleans()), is_utf8)

    there: list[append.CatenatePart] = []
    is_catenate = draw(st.booleans())
    for _ in range(draw(st.integers(1, 3)) if is_catenate else 1):
        is_url = is_catenate and draw(st.booleans())
        there.append(append.Url(draw(texts)) if is_url else octets(first))
        first += not is_url
    at = draw(st.none() | st.integers(-62135596800, 253402300799))
    return append.AppendMessage(draw(flags), at, tuple(there), is_catenate)


@st.composite
def appends(draw: Any) -> append.Append:
    found: list[append.AppendMessage] = []
    for _ in range(draw(st.integers(1, 3))):
        number = sum(isinstance(part, append.Octets) for message in found for part in message.parts)
        found.append(draw(messages(number)))
    return append.Append(draw(texts), tuple(found))


# -- NOTIFY


@st.composite
def groups(draw: Any) -> notify.EventGroup:
    events = draw(st.frozensets(enums(notify.NotifyEvent)))
    is_new = notify.NotifyEvent.MESSAGE_NEW in events
    unknown = draw(tuples(atoms.map("X{}".format)))
    return notify.EventGroup(draw(scopes()), events, draw(tuples(items)) if is_new else (), unknown)


COMMANDS: Final[dict[type[Any], st.SearchStrategy[Any]]] = {
    append.Append: appends(),
    append.Replace: st.builds(append.Replace, uids, ends, texts, messages()),
    fetch.Fetch: fetches(),
    listing.List: lists(),
    listing.Lsub: st.builds(listing.Lsub, texts, texts),
    listing.Status: st.builds(listing.Status, texts, status_items),
    login.Authenticate: st.builds(login.Authenticate, capitals, st.none() | st.binary(max_size=90).map(Secret)),
    login.Compress: st.builds(login.Compress, capitals),
    login.Enable: st.builds(login.Enable, tuples(capitals, 1)),
    login.Id: st.builds(login.Id, st.none() | tuples(st.tuples(texts, st.none() | texts))),
    login.Login: st.builds(login.Login, texts, texts.map(Secret)),
    mailbox.Create: st.builds(mailbox.Create, texts, tuples(st.sampled_from(["\\Sent", "\\Trash"]))),
    mailbox.Delete: st.builds(mailbox.Delete, texts),
    mailbox.Rename: st.builds(mailbox.Rename, texts, texts),
    mailbox.Subscribe: st.builds(mailbox.Subscribe, texts),
    mailbox.Unsubscribe: st.builds(mailbox.Unsubscribe, texts),
    notify.Notify: st.just(notify.Notify(())) | st.builds(notify.Notify, tuples(groups(), 1), st.booleans()),
    search.CancelUpdate: st.builds(search.CancelUpdate, tuples(texts, 1)),
    search.Esearch: st.builds(
        search.Esearch, tuples(scopes(search.ScopeKind.SELECTED_DELAYED)), st.none() | returns(), st.none() | charsets, keys
    ),
    search.Search: st.builds(search.Search, uids, st.none() | returns(), st.none() | charsets, keys),
    search.Sort: st.builds(
        search.Sort, uids, st.none() | returns(), tuples(st.tuples(enums(search.SortKey), st.booleans()), 1), charsets, keys
    ),
    search.Thread: st.builds(search.Thread, uids, capitals, charsets, keys),
    select.Select: st.builds(select.Select, texts, st.booleans(), st.booleans(), st.none() | qresync_states()),
    sharing.DeleteAcl: st.builds(sharing.DeleteAcl, texts, texts),
    sharing.GetAcl: st.builds(sharing.GetAcl, texts),
    sharing.GetMetadata: st.builds(
        sharing.GetMetadata, texts, tuples(entries, 1), enums(sharing.Depth), st.none() | st.integers(0, STAR - 1)
    ),
    sharing.GetQuota: st.builds(sharing.GetQuota, texts),
    sharing.GetQuotaRoot: st.builds(sharing.GetQuotaRoot, texts),
    sharing.ListRights: st.builds(sharing.ListRights, texts, texts),
    sharing.MyRights: st.builds(sharing.MyRights, texts),
    sharing.SetAcl: st.builds(sharing.SetAcl, texts, texts, st.sampled_from(["", "+", "-"]), st.text("lrswa0")),
    sharing.SetMetadata: st.builds(sharing.SetMetadata, texts, tuples(st.tuples(entries, st.none() | st.binary(max_size=90)), 1)),
    sharing.SetQuota: st.builds(sharing.SetQuota, texts, tuples(st.tuples(capitals, modseqs))),
    store.Copy: st.builds(store.Copy, uids, numsets, texts),
    store.Move: st.builds(store.Move, uids, numsets, texts),
    store.Store: st.builds(
        store.Store, uids, numsets, enums(store.StoreAction), flags, st.booleans(), st.none() | st.integers(0, (1 << 63) - 1)
    ),
    store.UidExpunge: st.builds(store.UidExpunge, numsets),
    url.GenUrlAuth: st.builds(url.GenUrlAuth, tuples(st.tuples(texts, capitals), 1)),
    url.ResetKey: st.just(url.ResetKey()) | st.builds(url.ResetKey, texts, tuples(capitals)),
    url.UrlFetch: st.builds(
        url.UrlFetch, tuples(st.builds(url.UrlFetchItem, texts, tuples(st.sampled_from(["BODY", "BODYPARTSTRUCTURE"]))), 1)
    ),
}
LOGIN_COMMANDS: Final = (login.Authenticate, login.Login, nullary.StartTls)


def core_for(kind: type[Any], *, is_utf8: bool) -> ServerConnection:
    core = ServerConnection()
    core.greet(Condition(Status.OK, "ready"))
    core.data_to_send()
    if kind not in LOGIN_COMMANDS:
        core.enter(State.SELECTED)
    core.is_utf8 = is_utf8
    return core


class Peer:
    """Sends pieces as a client does, in steps, and keeps what the server makes of them."""

    def __init__(self, core: ServerConnection, step: int) -> None:
        self.core = core
        self.step = step
        self.commands: list[CommandReceived] = []
        self.streamed = 0

    def send(self, octets: bytes) -> None:
        for start in range(0, len(octets), self.step):
            self.core.receive_data(octets[start : start + self.step])
            while (event := self.core.next_event()) is not NEED_DATA:
                match event:
                    case MessageOffered():
                        self.core.accept_message()
                    case MessageChunk(data):
                        self.streamed += len(data)
                    case MessageEnded():
                        pass
                    case CommandReceived():
                        self.commands.append(event)
                        return
                    case _:
                        pytest.fail(f"{event}")

    def play(self, command: Command, literals: Literals, *, is_utf8: bool) -> None:
        for piece in format_command("a1", command, literals, is_utf8=is_utf8):
            if piece is WAIT:
                assert self.core.data_to_send() == [b"+ OK\r\n"]
            elif isinstance(piece, MessageBody):
                self.send(b"\xe9" * piece.size)
            else:
                self.send(piece)


@pytest.mark.parametrize("kind", COMMANDS, ids=lambda kind: kind.__name__)
def test_the_server_reads_what_the_client_writes(kind: type[Any]) -> None:
    @settings(max_examples=25, deadline=None)
    @given(COMMANDS[kind], st.sampled_from([1, 7, 10_000]), st.sampled_from(Literals), st.booleans())
    def check(command: Command, step: int, literals: Literals, is_utf8: bool) -> None:
        peer = Peer(core_for(kind, is_utf8=is_utf8), step)
        peer.play(command, literals, is_utf8=is_utf8)
        assert [event.command for event in peer.commands] == [command]
        assert peer.core.data_to_send() == []

    check()


@pytest.mark.parametrize("command", nullary.NULLARY.values(), ids=lambda command: type(command).__name__)
def test_commands_without_arguments_are_read_as_written(command: nullary.Nullary) -> None:
    peer = Peer(core_for(type(command), is_utf8=False), 1)
    peer.play(command, Literals.SYNCHRONIZING, is_utf8=False)
    assert [event.command for event in peer.commands] == [command]


def test_every_command_has_a_strategy() -> None:
    assert set(COMMANDS) == set(FORMATTERS)
