"""What a store that outlives its process adds to the contract: whatever was done is there when it is opened again."""

from postwren.mailstore.service.accounts import add_address
from postwren.mailstore.service.expunge import expunge
from postwren.mailstore.service.undelete import recover
from postwren.terms import Address
from postwren.testing.contract.scene import Scene, dump, story

__all__ = ["DurableContract"]


class DurableContract:
    """What is kept."""

    @story
    async def test_everything_is_there_after_the_store_was_opened_again(self, scene: Scene) -> None:
        ann = await scene.account()
        await scene.perform(add_address(ann.account_id, Address("", "example.org")))
        await scene.perform(lambda tx: tx.put_setting("identity", b"\0\xff"))
        archive = await scene.create(ann, "Archive/2024")
        await scene.append(ann, b"one\r\n", b".two\r\n", b"x" * 3_000_000, flags=["\\Seen", "Caf\u00e9"])
        await scene.deliver(ann, b"three\r\n", archive.name)
        inbox = scene.mailbox(ann)
        await scene.perform(expunge(ann.account_id, inbox.mailbox_id, [(1, 1)], scene.now, only_deleted=False))
        before = dump(scene.reader, ann.account_id)
        contents = scene.contents(ann)
        await scene.reopen()
        assert dump(scene.reader, ann.account_id) == before
        assert scene.contents(ann) == contents
        assert scene.reader.setting("identity") == b"\0\xff"
        await scene.perform(recover(ann.account_id, inbox.mailbox_id, [(1, 1)], scene.now))
        assert scene.uids(ann) == [2, 3, 4]
        assert (await scene.account("ben@example.org")).account_id > ann.account_id

    @story
    async def test_d33_uids_and_ids_go_on_where_they_were(self, scene: Scene) -> None:
        ann = await scene.account()
        for expected in range(1, 6):
            assert (await scene.deliver(ann, b"%d\r\n" % expected)).uid == expected
            inbox = scene.mailbox(ann)
            await scene.perform(expunge(ann.account_id, inbox.mailbox_id, None, scene.now, only_deleted=False))
            await scene.reopen()
        assert scene.mailbox(ann).uidnext == 6
