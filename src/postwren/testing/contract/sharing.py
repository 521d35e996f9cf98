"""Grants, annotations and subscriptions: what hangs on mailboxes and names."""

import pytest

from postwren.mailstore.errors import EntryInvalid, IdentifierInvalid, TooMany, ValueTooBig
from postwren.mailstore.model import Account, ChangeKind, Mailbox
from postwren.mailstore.service import metadata
from postwren.mailstore.service.accounts import remove_account
from postwren.mailstore.service.acl import ALL, parse_rights, rights_of, set_rights, shared_with, told
from postwren.mailstore.service.mailboxes import delete_mailbox, rename_mailbox, subscribe, subscribe_name, subscriptions
from postwren.mailstore.service.metadata import canonical_entry, entries_of, set_entries
from postwren.terms import MailboxId
from postwren.testing.contract.scene import Scene, story

__all__ = ["SharingContract"]

ANN, BEN = "ann@example.org", "ben@example.org"
SERVER = MailboxId(0)


class SharingContract:
    """What hangs on mailboxes and names."""

    async def grant(self, scene: Scene, mailbox: Mailbox, identifier: str, rights: str, change: str = "") -> None:
        await scene.perform(set_rights(mailbox.account_id, mailbox.mailbox_id, identifier, change, frozenset(rights)))

    def shared(self, scene: Scene, ben: Account) -> dict[str, str]:
        found = shared_with(scene.reader, ben.account_id, ben.login)
        return {mailbox.name: "".join(sorted(rights)) for mailbox, rights in found}

    @story
    async def test_rights_are_given_taken_and_replaced(self, scene: Scene) -> None:
        ann, ben = await scene.account(ANN), await scene.account(BEN)
        work = await scene.create(ann, "Work")
        assert self.shared(scene, ben) == {}
        await self.grant(scene, work, BEN, "lr")
        await self.grant(scene, work, BEN, "is", "+")
        await self.grant(scene, work, BEN, "r", "-")
        assert self.shared(scene, ben) == {"Work": "ils"}
        before = scene.row(ann).modseq
        await self.grant(scene, work, BEN, "i", "+")  # he has it
        assert scene.row(ann).modseq == before
        await self.grant(scene, work, BEN, "r")
        assert self.shared(scene, ben) == {}  # not to be looked up
        await self.grant(scene, work, BEN, "")
        assert scene.reader.grants(ann.account_id, work.mailbox_id) == []

    @story
    async def test_everybodys_rights_less_those_taken_from_one(self, scene: Scene) -> None:
        ann, ben, cat = await scene.account(ANN), await scene.account(BEN), await scene.account("cat@example.org")
        work = await scene.create(ann, "Work")
        await self.grant(scene, work, "anyone", "lrs")
        await self.grant(scene, work, f"-{BEN}", "s")
        await self.grant(scene, work, "Ben@Example.ORG", "i")
        assert self.shared(scene, ben) == {"Work": "ilr"}
        assert self.shared(scene, cat) == {"Work": "lrs"}
        assert self.shared(scene, ann) == {}  # it is hers

    @story
    async def test_a_grant_is_announced_and_goes_with_its_mailbox(self, scene: Scene) -> None:
        ann, ben = await scene.account(ANN), await scene.account(BEN)
        work = await scene.create(ann, "Work")
        await self.grant(scene, work, BEN, "lr")
        last = scene.reader.changes(ann.account_id, work.created_modseq)[-1]
        assert (last.kind, last.mailbox_id) == (ChangeKind.MAILBOX_CHANGED, work.mailbox_id)
        await scene.perform(rename_mailbox(ann.account_id, work.mailbox_id, "Play", scene.now))
        assert self.shared(scene, ben) == {"Play": "lr"}
        assert (await scene.create(ann, "Play/Chess")).name == "Play/Chess"
        assert self.shared(scene, ben) == {"Play": "lr", "Play/Chess": "lr"}  # as above
        await scene.perform(delete_mailbox(ann.account_id, work.mailbox_id, scene.now))
        assert self.shared(scene, ben) == {"Play/Chess": "lr"}

    @story
    async def test_a_login_that_comes_again_is_somebody_else(self, scene: Scene) -> None:
        ann, ben = await scene.account(ANN), await scene.account(BEN)
        work = await scene.create(ann, "Work")
        await self.grant(scene, work, BEN, "lr")
        await scene.perform(remove_account(ben.account_id))
        assert self.shared(scene, await scene.account(BEN)) == {}
        await self.grant(scene, work, BEN, "lr")
        await scene.perform(remove_account(ann.account_id))
        assert scene.reader.granted(BEN) == []

    @story
    async def test_annotations_of_a_login_go_with_its_account(self, scene: Scene) -> None:
        ann, ben = await scene.account(ANN), await scene.account(BEN)
        work = await scene.create(ann, "Work")
        where = ann.account_id, work.mailbox_id
        await scene.perform(set_entries(*where, BEN, {"/private/comment": b"his", "/shared/comment": b"all's"}))
        await scene.perform(set_entries(*where, ANN, {"/private/comment": b"hers"}))
        await scene.perform(remove_account(ben.account_id))
        await scene.account(BEN)
        assert entries_of(scene.reader, *where, BEN) == {"/shared/comment": b"all's"}
        assert entries_of(scene.reader, *where, ANN) == {"/private/comment": b"hers", "/shared/comment": b"all's"}

    @story
    async def test_whoever_cannot_be_is_refused_and_grants_are_bounded(self, scene: Scene) -> None:
        ann = await scene.account(ANN)
        work = await scene.create(ann, "Work")
        for nobody in ("", "-", "a b@example.org", "x@", "\0"):
            with pytest.raises(IdentifierInvalid):
                await self.grant(scene, work, nobody, "l")
        assert rights_of(scene.reader, ann.account_id, work.mailbox_id, BEN) == frozenset()
        assert parse_rights("lrswipkxteacd") == ALL
        assert parse_rights("lR") is None
        assert told(frozenset("lt")) == "ltd"

    @story
    async def test_annotations_are_kept_and_go_with_their_mailbox(self, scene: Scene) -> None:
        ann = await scene.account(ANN)
        work = await scene.create(ann, "Work")
        mine = {"/private/comment": b"mine", "/shared/comment": b"ours\0\xff"}
        where = ann.account_id, work.mailbox_id
        await scene.perform(set_entries(*where, ANN, mine))
        before = scene.row(ann).modseq
        await scene.perform(set_entries(*where, ANN, mine))
        assert scene.row(ann).modseq == before
        await scene.perform(set_entries(*where, BEN, {"/private/comment": b"his"}))
        await scene.perform(set_entries(ann.account_id, SERVER, ANN, {"/private/x/y": b""}))
        assert entries_of(scene.reader, *where, ANN) == mine
        assert entries_of(scene.reader, *where, BEN) == {"/private/comment": b"his", "/shared/comment": b"ours\0\xff"}
        assert entries_of(scene.reader, ann.account_id, SERVER, ANN) == {"/private/x/y": b""}
        await scene.perform(set_entries(*where, ANN, {"/shared/comment": None, "/private/nothing": None}))
        assert entries_of(scene.reader, *where, ANN) == {"/private/comment": b"mine"}
        assert scene.reader.changes(ann.account_id, work.created_modseq)[-1].kind is ChangeKind.METADATA
        await scene.perform(delete_mailbox(*where, scene.now))
        assert scene.reader.property_count(ann.account_id) == 1

    @story
    async def test_what_is_shared_of_the_server_is_no_accounts(self, scene: Scene) -> None:
        ann, ben = await scene.account(ANN), await scene.account(BEN)
        every = {f"/shared/x/{at}": b"\0\xff" for at in range(metadata.LIMITS.server_entries)}
        await scene.perform(set_entries(ann.account_id, SERVER, ANN, every | {"/private/comment": b"hers"}))
        assert entries_of(scene.reader, ben.account_id, SERVER, BEN) == every
        with pytest.raises(TooMany):
            await scene.perform(set_entries(ben.account_id, SERVER, BEN, {"/shared/x/more": b""}))
        await scene.perform(remove_account(ann.account_id))
        await scene.perform(set_entries(ben.account_id, SERVER, BEN, dict.fromkeys(list(every)[1:])))
        assert entries_of(scene.reader, ben.account_id, SERVER, BEN) == {"/shared/x/0": b"\0\xff"}

    @story
    async def test_annotations_are_bounded(self, scene: Scene) -> None:
        ann = await scene.account(ANN)
        inbox = scene.mailbox(ann)
        where = ann.account_id, inbox.mailbox_id, ANN
        await scene.perform(set_entries(*where, {"/private/big": b"x" * metadata.LIMITS.value}))
        with pytest.raises(ValueTooBig):
            set_entries(*where, {"/private/big": b"x" * (metadata.LIMITS.value + 1)})
        many = {f"/private/n/{number}": b"" for number in range(metadata.LIMITS.entries - 1)}
        await scene.perform(set_entries(*where, many))
        with pytest.raises(TooMany):
            await scene.perform(set_entries(*where, {"/private/one/more": b""}))
        await scene.perform(set_entries(*where, {"/private/one/more": b"", "/private/big": None}))
        longest = "/shared/" + "n" * (metadata.LIMITS.name - 8)
        assert canonical_entry(longest) == longest
        for name in (
            longest + "n",
            "/Public/x",
            "/private",
            "/private/",
            "/private//x",
            "/private/a*",
            "/private/é",
            "private/x",
        ):
            with pytest.raises(EntryInvalid):
                canonical_entry(name)
        assert canonical_entry("/Private/Comment") == "/private/comment"

    @story
    async def test_a_subscription_outlives_its_mailbox(self, scene: Scene) -> None:
        ann = await scene.account(ANN)
        work = await scene.create(ann, "Work")
        await scene.perform(subscribe(ann.account_id, work.mailbox_id, True))
        await scene.perform(delete_mailbox(ann.account_id, work.mailbox_id, scene.now))
        assert subscriptions(scene.reader, ann.account_id) == ["INBOX", "Work"]
        assert (await scene.create(ann, "Work")).is_subscribed
        assert subscriptions(scene.reader, ann.account_id) == ["INBOX", "Work"]
        await scene.perform(subscribe_name(ann.account_id, "Other Users/x/y", True))
        await scene.perform(subscribe_name(ann.account_id, "Other Users/x/y", True))
        assert subscriptions(scene.reader, ann.account_id) == ["INBOX", "Other Users/x/y", "Work"]
        await scene.perform(subscribe_name(ann.account_id, "Other Users/x/y", False))
        assert subscriptions(scene.reader, ann.account_id) == ["INBOX", "Work"]
