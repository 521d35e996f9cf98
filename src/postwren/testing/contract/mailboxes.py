"""Mailboxes and their names."""

import pytest

from postwren.mailstore.errors import MailboxExists, MailboxNameInvalid, NoSuchMailbox, SpecialUseTaken
from postwren.mailstore.model import Account, ChangeKind
from postwren.mailstore.service.mailboxes import (
    create_mailbox,
    delete_mailbox,
    rename_mailbox,
    set_special_use,
    subscribe,
)
from postwren.mailstore.service.mailboxname import LIMITS
from postwren.terms import INBOX, MailboxId, SpecialUse
from postwren.testing.contract.scene import Scene, dump, story

__all__ = ["MailboxContract"]

INVALID = (
    "",
    "/",
    "a//b",
    "/a",
    "a/",
    "a\0b",
    "a\rb",
    "a\x7f",
    "a\u2028b",
    "a\ud800b",
    "#news",
    "a" * (LIMITS.level + 1),
    "é" * (LIMITS.level // 2 + 1),
    "/".join("a" * (LIMITS.depth + 1)),
    "/".join(["a" * 199] * 5) + "/b",
)
VALID = ("a", "a b", "Entwürfe", "日本語", "a" * LIMITS.level, "/".join("b" * LIMITS.depth), "/".join(["c" * 199] * 5), "*%")


class MailboxContract:
    """What mailboxes do."""

    def names(self, scene: Scene, account: Account) -> set[str]:
        return {mailbox.name for mailbox in scene.reader.mailboxes(account.account_id)}

    @story
    async def test_names_that_cannot_be_are_refused_and_the_longest_that_can_be_are_taken(self, scene: Scene) -> None:
        ann = await scene.account()
        for name in INVALID:
            with pytest.raises(MailboxNameInvalid) as refused:
                create_mailbox(ann.account_id, name, scene.now)
            assert refused.value.why
        for name in VALID:
            assert (await scene.create(ann, name)).name == name

    @story
    async def test_a_name_has_one_form(self, scene: Scene) -> None:
        ann = await scene.account()
        assert (await scene.create(ann, "Cafe\u0301")).name == "Caf\u00e9"
        with pytest.raises(MailboxExists):
            await scene.create(ann, "Caf\u00e9")
        for inbox in ("INBOX", "inbox", "Inbox"):
            with pytest.raises(MailboxExists):
                await scene.create(ann, inbox)
        assert (await scene.create(ann, "inbox/Lists")).name == "INBOX/Lists"
        await scene.create(ann, "Inboxes")
        await scene.create(ann, "caf\u00e9")  # other names keep their case apart

    @story
    async def test_what_is_above_a_new_mailbox_is_made_too(self, scene: Scene) -> None:
        ann = await scene.account()
        await scene.create(ann, "a/b/c")
        assert self.names(scene, ann) == {INBOX, "a", "a/b", "a/b/c"}
        kinds = {change.kind for change in scene.reader.changes(ann.account_id, ann.modseq)}
        assert kinds == {ChangeKind.MAILBOX_CREATED}

    @story
    async def test_d33_a_mailbox_that_is_made_again_has_another_uidvalidity(self, scene: Scene) -> None:
        ann = await scene.account()
        seen = {scene.mailbox(ann).uidvalidity}
        ids = {scene.mailbox(ann).mailbox_id}
        for _ in range(3):
            mailbox = await scene.create(ann, "Again")
            assert mailbox.uidvalidity > max(seen)
            assert mailbox.mailbox_id > max(ids)
            seen.add(mailbox.uidvalidity)
            ids.add(mailbox.mailbox_id)
            await scene.deliver(ann, mailbox="Again")
            await scene.perform(delete_mailbox(ann.account_id, mailbox.mailbox_id, scene.now))
            assert "Again" not in self.names(scene, ann)

    @story
    async def test_d34_a_clock_that_jumps_never_lowers_a_uidvalidity(self, scene: Scene) -> None:
        ann = await scene.account()
        last = scene.mailbox(ann).uidvalidity
        for number, now in enumerate((scene.now + 1000, scene.now - 1000, 0, scene.now)):
            scene.now = now
            mailbox = await scene.create(ann, f"m{number}")
            assert mailbox.uidvalidity > last
            last = mailbox.uidvalidity

    @story
    async def test_a_deleted_mailbox_takes_its_messages_and_leaves_those_below(self, scene: Scene) -> None:
        ann = await scene.account()
        mailbox = await scene.create(ann, "a")
        await scene.create(ann, "a/b")
        await scene.deliver(ann, b"kept\r\n", "a/b")
        await scene.deliver(ann, b"gone\r\n", "a")
        await scene.perform(delete_mailbox(ann.account_id, mailbox.mailbox_id, scene.now))
        assert self.names(scene, ann) == {INBOX, "a/b"}
        assert scene.contents(ann, "a/b") == [b"kept\r\n"]
        assert scene.row(ann).used == 6
        assert scene.reader.entries(ann.account_id, mailbox.mailbox_id) == []
        with pytest.raises(NoSuchMailbox):
            await scene.perform(delete_mailbox(ann.account_id, mailbox.mailbox_id, scene.now))
        with pytest.raises(MailboxNameInvalid):
            await scene.perform(delete_mailbox(ann.account_id, scene.mailbox(ann).mailbox_id, scene.now))

    @story
    async def test_d33_a_rename_takes_along_what_is_below_and_keeps_ids_and_uids(self, scene: Scene) -> None:
        ann = await scene.account()
        mailbox = await scene.create(ann, "a/b")
        await scene.create(ann, "a/b/c/d")
        await scene.create(ann, "a/bc")
        await scene.deliver(ann, b"x\r\n", "a/b")
        renamed = await scene.perform(rename_mailbox(ann.account_id, mailbox.mailbox_id, "x/y", scene.now))
        assert self.names(scene, ann) == {INBOX, "a", "a/bc", "x", "x/y", "x/y/c", "x/y/c/d"}
        assert renamed == scene.mailbox(ann, "x/y")
        assert (renamed.mailbox_id, renamed.uidvalidity, renamed.uidnext) == (mailbox.mailbox_id, mailbox.uidvalidity, 2)
        assert scene.contents(ann, "x/y") == [b"x\r\n"]
        again = await scene.create(ann, "a/b")
        assert again.uidvalidity > mailbox.uidvalidity

    @story
    async def test_a_tree_may_take_its_own_place_one_level_up(self, scene: Scene) -> None:
        ann = await scene.account()
        top = await scene.create(ann, "a")
        mailbox = await scene.create(ann, "a/a")
        await scene.create(ann, "a/a/a")
        await scene.create(ann, "a/a/a/a")
        await scene.perform(delete_mailbox(ann.account_id, top.mailbox_id, scene.now))
        await scene.perform(rename_mailbox(ann.account_id, mailbox.mailbox_id, "a", scene.now))
        assert self.names(scene, ann) == {INBOX, "a", "a/a", "a/a/a"}
        assert scene.mailbox(ann, "a").mailbox_id == mailbox.mailbox_id

    @story
    async def test_a_rename_that_cannot_be_changes_nothing(self, scene: Scene) -> None:
        ann = await scene.account()
        a = await scene.create(ann, "a")
        await scene.create(ann, "a/x")
        await scene.create(ann, "b")
        c = await scene.create(ann, "c")
        await scene.create(ann, "c/x")
        await scene.perform(delete_mailbox(ann.account_id, c.mailbox_id, scene.now))
        await scene.create(ann, "/".join("d" * LIMITS.depth))
        before = dump(scene.reader, ann.account_id)
        for target, error in [
            ("b", MailboxExists),
            ("a", MailboxExists),
            ("inbox", MailboxExists),
            ("c", MailboxExists),  # c/x is there
            ("a/y", MailboxNameInvalid),
            ("/".join("e" * LIMITS.depth), MailboxNameInvalid),  # what is below would be too deep
        ]:
            with pytest.raises(error):
                await scene.perform(rename_mailbox(ann.account_id, a.mailbox_id, target, scene.now))
        with pytest.raises(NoSuchMailbox):
            await scene.perform(rename_mailbox(ann.account_id, MailboxId(99), "z", scene.now))
        assert dump(scene.reader, ann.account_id) == before

    @story
    async def test_renaming_inbox_moves_its_messages_and_leaves_it_empty(self, scene: Scene) -> None:
        ann = await scene.account()
        await scene.create(ann, "INBOX/Lists")
        await scene.append(ann, b"one\r\n", b"two\r\n", flags=["\\Seen"])
        inbox = scene.mailbox(ann)
        renamed = await scene.perform(rename_mailbox(ann.account_id, inbox.mailbox_id, "Old/Mail", scene.now))
        assert self.names(scene, ann) == {INBOX, "INBOX/Lists", "Old", "Old/Mail"}
        assert scene.mailbox(ann).mailbox_id == inbox.mailbox_id
        assert scene.uids(ann) == []
        assert renamed == scene.mailbox(ann, "Old/Mail")
        assert renamed.messages == 2
        assert scene.contents(ann, "Old/Mail") == [b"one\r\n", b"two\r\n"]
        assert scene.flags(ann, "Old/Mail")[1] == {"\\Seen"}
        assert (await scene.deliver(ann)).uid == 3

    @story
    async def test_subscription_and_special_use_are_kept_and_told(self, scene: Scene) -> None:
        ann = await scene.account()
        drafts = await scene.create(ann, "Drafts")
        other = await scene.create(ann, "Other")
        since = scene.row(ann).modseq
        await scene.perform(subscribe(ann.account_id, drafts.mailbox_id, True))
        await scene.perform(subscribe(ann.account_id, drafts.mailbox_id, True))
        await scene.perform(set_special_use(ann.account_id, drafts.mailbox_id, SpecialUse.DRAFTS))
        assert scene.mailbox(ann, "Drafts").is_subscribed
        assert scene.mailbox(ann, "Drafts").special_use is SpecialUse.DRAFTS
        kinds = [change.kind for change in scene.reader.changes(ann.account_id, since)]
        assert kinds == [ChangeKind.MAILBOX_CHANGED] * 2
        with pytest.raises(SpecialUseTaken):
            await scene.perform(set_special_use(ann.account_id, other.mailbox_id, SpecialUse.DRAFTS))
        with pytest.raises(SpecialUseTaken):
            await scene.perform(create_mailbox(ann.account_id, "New", scene.now, SpecialUse.DRAFTS))
        with pytest.raises(MailboxNameInvalid):
            await scene.perform(set_special_use(ann.account_id, scene.mailbox(ann).mailbox_id, SpecialUse.JUNK))
        await scene.perform(set_special_use(ann.account_id, drafts.mailbox_id, None))
        await scene.perform(create_mailbox(ann.account_id, "New", scene.now, SpecialUse.DRAFTS))
        assert scene.mailbox(ann, "New").special_use is SpecialUse.DRAFTS
