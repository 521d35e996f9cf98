"""One test a cell of docs/sync.md's table: (same, changed, gone, new) here x there; then moves, copies, mailboxes, the brake."""

import pytest

from postwren.sync.hunk import (
    Adopt,
    Agree,
    Bind,
    Change,
    CopyRemote,
    CreateLocal,
    CreateRemote,
    DeleteLocal,
    DeleteRemote,
    ExpungeLocal,
    ExpungeRemote,
    Forget,
    ForgetMailbox,
    MoveLocal,
    MoveRemote,
    Pull,
    Push,
    RenameLocal,
    RenameRemote,
    SetLocal,
    SetRemote,
    told,
)
from postwren.sync.plan import (
    Agreed,
    BaseMailbox,
    LocalMailbox,
    MailboxState,
    New,
    RemoteMailbox,
    brake,
    merge,
    plan,
    plan_mailboxes,
)
from postwren.terms import EmailId, MailboxId

A, B, C = MailboxId(1), MailboxId(2), MailboxId(3)
SEEN = frozenset({"\\Seen"})
NONE: frozenset[str] = frozenset()
PAIR = {7: Agreed(7, 70, EmailId(700), NONE)}


def hunks(*states: MailboxState, **more: object) -> list[object]:
    return list(plan(states, **more).hunks)  # type: ignore[arg-type]


def test_new_there_is_fetched() -> None:
    assert hunks(MailboxState(A, remote_new={9: New(SEEN, None), 8: New(NONE, None)})) == [Pull(A, (8, 9))]


def test_new_here_is_sent() -> None:
    assert hunks(MailboxState(A, local_new={5: New(NONE, EmailId(1))})) == [Push(A, (5,))]


def test_flags_changed_there_are_set_here() -> None:
    assert hunks(MailboxState(A, PAIR, remote_changed={7: SEEN})) == [SetLocal(A, Change(SEEN, NONE), (7,))]


def test_flags_changed_here_are_set_there() -> None:
    assert hunks(MailboxState(A, PAIR, local_changed={7: SEEN})) == [SetRemote(A, Change(SEEN, NONE), (7,))]


def test_flags_changed_on_both_sides_are_merged_one_by_one() -> None:
    pair = {7: Agreed(7, 70, EmailId(700), frozenset({"old", "kept"}))}
    state = MailboxState(
        A, pair, local_changed={7: frozenset({"kept", "here"})}, remote_changed={7: frozenset({"kept", "old", "there"})}
    )
    assert hunks(state) == [
        SetLocal(A, Change(frozenset({"there"}), NONE), (7,)),
        SetRemote(A, Change(frozenset({"here"}), frozenset({"old"})), (7,)),
    ]


def test_the_same_change_on_both_sides_is_no_edit_any_more() -> None:
    """Otherwise it would be an edit of this side when another device takes it back, and the flag would return."""
    assert hunks(MailboxState(A, PAIR, local_changed={7: SEEN}, remote_changed={7: SEEN})) == [Agree(A, Change(SEEN, NONE), (7,))]


def test_keywords_compare_without_regard_to_case() -> None:
    assert merge(frozenset({"$Junk"}), frozenset({"$junk", "x"}), frozenset({"$JUNK"})) == {"$Junk", "x"}


def test_a_flag_that_the_server_cannot_keep_stays_here_and_is_not_taken_for_removed() -> None:
    both = frozenset({"\\Seen", "mine"})
    assert hunks(MailboxState(A, PAIR, local_changed={7: both}, storable=SEEN)) == [SetRemote(A, Change(SEEN, NONE), (7,))]
    pair = {7: Agreed(7, 70, EmailId(700), both)}
    assert hunks(MailboxState(A, pair, remote_changed={7: SEEN}, storable=SEEN)) == []


def test_gone_there_is_expunged_here() -> None:
    assert hunks(MailboxState(A, PAIR, remote_gone=frozenset({7}))) == [ExpungeLocal(A, (7,))]


def test_gone_here_is_expunged_there() -> None:
    assert hunks(MailboxState(A, PAIR, local_gone=frozenset({7}))) == [ExpungeRemote(A, (7,))]


def test_gone_on_both_sides_is_forgotten() -> None:
    assert hunks(MailboxState(A, PAIR, local_gone=frozenset({7}), remote_gone=frozenset({7}))) == [Forget(A, (7,))]


@pytest.mark.parametrize("side", ["local", "remote"])
def test_a_deletion_wins_over_flags_and_is_reported(side: str) -> None:
    other = {"local": "remote", "remote": "local"}[side]
    state = MailboxState(A, PAIR, **{f"{side}_gone": frozenset({7}), f"{other}_changed": {7: SEEN}})  # type: ignore[arg-type]
    planned = plan([state])
    assert planned.hunks == [{"local": ExpungeRemote, "remote": ExpungeLocal}[side](A, (7,))]
    assert [conflict.remote_uid for conflict in planned.conflicts] == [7]


def test_new_on_both_sides_and_the_same_is_paired_as_often_as_it_is_there() -> None:
    email = EmailId(1)
    state = MailboxState(A, local_new={1: New(NONE, email), 2: New(NONE, email)}, remote_new={5: New(NONE, email)})
    assert hunks(state) == [Adopt(A, ((5, 1),)), Push(A, (2,))]


def test_a_move_here_becomes_a_move_there() -> None:
    states = MailboxState(A, PAIR, local_gone=frozenset({7})), MailboxState(B, local_new={3: New(NONE, EmailId(700))})
    assert hunks(*states) == [MoveRemote(A, B, ((7, 3),))]


def test_a_move_there_becomes_a_move_here() -> None:
    states = MailboxState(A, PAIR, remote_gone=frozenset({7})), MailboxState(B, remote_new={3: New(NONE, EmailId(700))})
    assert hunks(*states) == [MoveLocal(A, B, ((7, 3),))]


def test_moved_to_different_places_is_in_both() -> None:
    states = (
        MailboxState(A, PAIR, local_gone=frozenset({7}), remote_gone=frozenset({7})),
        MailboxState(B, local_new={3: New(NONE, EmailId(700))}),
        MailboxState(C, remote_new={4: New(NONE, EmailId(700))}),
    )
    assert hunks(*states) == [Pull(C, (4,)), Push(B, (3,)), Forget(A, (7,))]


def test_a_copy_here_is_copied_there_without_sending_it() -> None:
    state = MailboxState(B, local_new={3: New(NONE, EmailId(700))})
    assert hunks(state, copies={EmailId(700): (A, 7)}) == [CopyRemote(A, B, ((7, 3),))]


def test_nothing_is_copied_from_a_place_that_is_about_to_go() -> None:
    going = MailboxState(A, {7: PAIR[7], 8: Agreed(8, 80, EmailId(701), NONE)}, remote_gone=frozenset({7}))
    state = MailboxState(B, local_new={3: New(NONE, EmailId(700))})
    assert hunks(going, state, copies={EmailId(700): (A, 7)}) == [Push(B, (3,)), ExpungeLocal(A, (7,))]


def test_what_brings_comes_before_what_takes_away() -> None:
    state = MailboxState(A, PAIR, remote_gone=frozenset({7}), remote_new={8: New(NONE, None)}, local_new={1: New(NONE, None)})
    assert [type(hunk) for hunk in hunks(state)] == [Pull, Push, ExpungeLocal]


# -- the brake


def test_more_than_fifty_ask_first() -> None:
    assert brake([ExpungeLocal(A, tuple(range(50)))], {A: 1000}) == {}
    assert brake([ExpungeLocal(A, tuple(range(51)))], {A: 1000}) == {A: 51}
    assert brake([ExpungeLocal(A, tuple(range(30))), DeleteLocal(B, "b", 21)], {A: 1000, B: 1000}) == {A: 30, B: 21}


def test_more_than_a_fifth_of_a_mailbox_asks_first() -> None:
    assert brake([ExpungeLocal(A, tuple(range(10)))], {A: 50}) == {}
    assert brake([ExpungeLocal(A, tuple(range(11)))], {A: 50}) == {A: 11}
    assert brake([ExpungeLocal(A, tuple(range(4)))], {A: 4}) == {}


def test_deletions_that_the_user_made_here_are_not_held() -> None:
    assert brake([ExpungeRemote(A, tuple(range(1000)))], {A: 1000}) == {}


# -- mailboxes


def base(name: str, mailbox_id: MailboxId = A, **more: object) -> BaseMailbox:
    return BaseMailbox(mailbox_id, name, name, 1, 10, None)._replace(**more)  # type: ignore[arg-type]


def remote(name: str, uidvalidity: int = 1, uidnext: int = 10, object_id: str | None = None) -> RemoteMailbox:
    return RemoteMailbox(name, name, uidvalidity, uidnext, object_id)


def here(name: str, mailbox_id: MailboxId = A) -> LocalMailbox:
    return LocalMailbox(mailbox_id, name, 3)


def test_a_mailbox_on_both_sides_is_bound_before_new_ones_are_made() -> None:
    planned = plan_mailboxes([], [here("INBOX"), here("mine", B)], [remote("theirs"), remote("INBOX")])
    assert planned == [Bind(A, "INBOX"), CreateLocal("theirs", "theirs"), CreateRemote(B, "mine")]


def test_a_mailbox_renamed_here_is_renamed_there() -> None:
    assert plan_mailboxes([base("a")], [here("b")], [remote("a")]) == [RenameRemote(A, "a", "b")]


@pytest.mark.parametrize("object_id", ["m1", None])
def test_a_mailbox_renamed_there_is_renamed_here(object_id: str | None) -> None:
    was, now = base("a", object_id=object_id), remote("b", uidnext=12, object_id=object_id)
    assert plan_mailboxes([was], [here("a")], [now]) == [RenameLocal(A, "b", "b")]


def test_a_rename_is_not_guessed_where_two_could_be_meant() -> None:
    planned = plan_mailboxes([base("a")], [here("a")], [remote("b"), remote("c")])
    assert planned == [CreateLocal("b", "b"), CreateLocal("c", "c"), DeleteLocal(A, "a", 3)]


def test_renamed_on_both_sides_takes_the_servers_name() -> None:
    assert plan_mailboxes([base("a")], [here("mine")], [remote("theirs")]) == [RenameLocal(A, "theirs", "theirs")]


def test_deleted_there_is_deleted_here_but_never_inbox() -> None:
    assert plan_mailboxes([base("a")], [here("a")], []) == [DeleteLocal(A, "a", 3)]
    assert plan_mailboxes([base("INBOX")], [here("INBOX")], []) == []


def test_deleted_here_is_deleted_there_unless_mail_came_since() -> None:
    assert plan_mailboxes([base("a")], [], [remote("a")]) == [DeleteRemote(A, "a")]
    assert plan_mailboxes([base("a")], [], [remote("a", uidnext=11)]) == [ForgetMailbox(A, "a")]
    assert plan_mailboxes([base("a")], [], []) == [ForgetMailbox(A, "a")]


def test_every_hunk_says_what_it_does_in_one_line() -> None:
    lines = [
        told(hunk, {A: "Work"})
        for hunk in (
            Pull(A, (1, 2)),
            SetRemote(A, Change(SEEN, frozenset({"x"})), (1,)),
            MoveRemote(A, B, ((1, 2),)),
            RenameRemote(A, "Work", "Play"),
        )
    ]
    assert lines == [
        "Work: fetch 2",
        "Work: +\\Seen -x on 1 on the server",
        "mailbox 2: move 1 on the server from Work",
        "Work: renamed here; rename it on the server to Play",
    ]
