"""Accounts and the addresses that reach them."""

import pytest

from postwren.mailstore.errors import AccountExists, AddressTaken, LoginInvalid, NoSuchAccount, NoSuchAddress
from postwren.mailstore.service.accounts import (
    LIMITS,
    add_address,
    canonical_login,
    create_account,
    remove_account,
    remove_address,
    resolve,
    set_credentials,
)
from postwren.terms import INBOX, AccountId, Address
from postwren.testing.contract.scene import NOBODY, Scene, story

__all__ = ["AccountContract"]

INVALID = (
    "",
    "ann",
    "@example.org",
    "ann@",
    "ann@exa mple.org",
    "ann smith@example.org",
    "ann..b@example.org",
    ".ann@example.org",
    "ann\0@example.org",
    "ann\r\n@example.org",
    "an@n@example.org",
    "ann@-example-.org",
    "ann@" + "a" * 64 + ".org",
    "ann@" + ".".join(["a" * 60] * 5),
    "ann@xn--999999999.org",
    "\ud800@example.org",
)


class AccountContract:
    """What accounts and addresses do."""

    @story
    async def test_a_new_account_has_an_inbox_and_its_address(self, scene: Scene) -> None:
        ann = await scene.account("Ann.Smith@Example.ORG")
        assert ann.login == "ann.smith@example.org"
        assert scene.reader.account_by_login("ann.smith@example.org") == scene.row(ann) == ann
        assert [mailbox.name for mailbox in scene.reader.mailboxes(ann.account_id)] == [INBOX]
        assert scene.mailbox(ann).uidnext == 1
        assert resolve(scene.reader, Address("ANN.smith", "EXAMPLE.org")) == ann.account_id
        assert scene.reader.domain_exists("example.org")
        assert not scene.reader.domain_exists("example.com")
        assert list(scene.reader.accounts()) == [ann]

    @story
    async def test_an_international_login_has_one_canonical_form(self, scene: Scene) -> None:
        ann = await scene.account("Zoe\u0308@B\u00fccher.example")
        assert ann.login == "zo\u00eb@xn--bcher-kva.example"
        assert resolve(scene.reader, Address("ZO\u00cb", "b\u00fccher.example")) == ann.account_id
        assert resolve(scene.reader, Address("zo\u00eb", "xn--bcher-kva.example")) == ann.account_id
        with pytest.raises(AccountExists):
            await scene.account("zo\u00eb@XN--BCHER-KVA.example")

    @story
    async def test_what_cannot_be_a_login_is_refused_with_a_reason(self, scene: Scene) -> None:
        for login in INVALID:
            with pytest.raises(LoginInvalid) as refused:
                create_account(login, NOBODY, scene.now)
            assert refused.value.why
        create_account("a" * LIMITS.local_part + "@example.org", NOBODY, scene.now)
        with pytest.raises(LoginInvalid):
            create_account("a" * (LIMITS.local_part + 1) + "@example.org", NOBODY, scene.now)

    @story
    async def test_a_login_or_address_that_is_taken_is_refused(self, scene: Scene) -> None:
        ann = await scene.account()
        await scene.perform(add_address(ann.account_id, Address("Info", "example.org")))
        with pytest.raises(AccountExists):
            await scene.account("ANN@example.org")
        with pytest.raises(AddressTaken):
            await scene.account("info@example.org")
        with pytest.raises(AddressTaken):
            await scene.perform(add_address(ann.account_id, Address("iNFO", "example.org")))
        with pytest.raises(NoSuchAccount):
            await scene.perform(add_address(AccountId(999), Address("x", "example.org")))
        with pytest.raises(NoSuchAccount):
            await scene.perform(set_credentials(AccountId(999), NOBODY))

    @story
    async def test_mail_finds_the_exact_address_then_the_one_without_detail_then_the_catch_all(self, scene: Scene) -> None:
        ann, ben, cat = [await scene.account(f"{name}@example.org") for name in ("ann", "ben", "cat")]
        await scene.perform(add_address(ben.account_id, Address("ann+lists", "example.org")))

        def reached(local: str, separator: str = "+") -> AccountId | None:
            return resolve(scene.reader, Address(local, "example.org"), separator)

        assert reached("ann") == ann.account_id
        assert reached("Ann+Shop") == ann.account_id
        assert reached("Ann+Lists") == ben.account_id
        assert reached("ann+lists+more") == ann.account_id
        assert reached("ann-shop") is None
        assert reached("ann-shop", "-") == ann.account_id
        assert reached("ann+shop", "") is None
        assert reached("+shop") is None
        assert reached("nobody") is None
        await scene.perform(add_address(cat.account_id, Address("", "example.org")))
        assert reached("nobody") == reached("+shop") == reached("nobody+shop") == cat.account_id
        assert reached("ann+shop") == ann.account_id
        assert resolve(scene.reader, Address("nobody", "example.com")) is None

    @story
    async def test_a_removed_address_reaches_nobody(self, scene: Scene) -> None:
        ann = await scene.account()
        alias = Address("Info", "example.net")
        await scene.perform(add_address(ann.account_id, alias))
        assert scene.reader.only_domain() is None
        await scene.perform(remove_address(Address("INFO", "example.net")))
        assert resolve(scene.reader, alias) is None
        assert not scene.reader.domain_exists("example.net")
        with pytest.raises(NoSuchAddress):
            await scene.perform(remove_address(alias))

    @story
    async def test_a_bare_local_part_is_a_login_where_there_is_one_domain(self, scene: Scene) -> None:
        assert canonical_login(scene.reader, "ann") is None
        await scene.account("ann@example.org")
        await scene.account("ben@example.org")
        assert canonical_login(scene.reader, "Ann") == "ann@example.org"
        assert canonical_login(scene.reader, "unknown") == "unknown@example.org"
        assert canonical_login(scene.reader, "ANN@Example.Org") == "ann@example.org"
        for login in INVALID:
            assert "@" not in login or canonical_login(scene.reader, login) is None
        await scene.account("cat@example.net")
        assert canonical_login(scene.reader, "ann") is None
        assert canonical_login(scene.reader, "cat@example.net") == "cat@example.net"

    @story
    async def test_a_removed_account_leaves_nothing_and_others_alone(self, scene: Scene) -> None:
        ann, ben = await scene.account(), await scene.account("ben@example.net")
        for account in (ann, ben):
            await scene.deliver(account)
        await scene.perform(remove_account(ann.account_id))
        assert scene.reader.account(ann.account_id) is None
        assert scene.reader.account_by_login(ann.login) is None
        assert scene.reader.mailboxes(ann.account_id) == []
        assert list(scene.reader.emails(ann.account_id)) == []
        assert resolve(scene.reader, Address("ann", "example.org")) is None
        assert not scene.reader.domain_exists("example.org")
        assert scene.contents(ben) == [b"Subject: hello\r\n\r\nhello\r\n"]
        with pytest.raises(NoSuchAccount):
            await scene.perform(remove_account(ann.account_id))
        with pytest.raises(NoSuchAccount):
            await scene.deliver(ann)

    @story
    async def test_d33_an_account_that_is_made_again_never_repeats_an_id_or_uidvalidity(self, scene: Scene) -> None:
        seen_ids: set[int] = set()
        seen_validities: set[int] = set()
        for _ in range(4):  # all within one second of the clock
            ann = await scene.account()
            await scene.create(ann, "Archive")
            validities = {mailbox.uidvalidity for mailbox in scene.reader.mailboxes(ann.account_id)}
            assert ann.account_id not in seen_ids
            assert seen_validities.isdisjoint(validities)
            assert all(new > old for new in validities for old in seen_validities)
            seen_ids.add(ann.account_id)
            seen_validities |= validities
            await scene.perform(remove_account(ann.account_id))
