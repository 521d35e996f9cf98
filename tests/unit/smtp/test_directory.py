"""Recipients are remembered for a moment, and no longer."""

import asyncio
from collections.abc import Awaitable, Callable

from postwren.mailstore.model import Credentials
from postwren.mailstore.service.accounts import add_address, create_account, remove_account, remove_address, set_quota
from postwren.server.smtp.directory import REMEMBERED, Directory
from postwren.storage.memory import MemoryStore
from postwren.terms import AccountId, Address

ANN = Address("ann", "example.org")
ALIAS = Address("a.n.other", "example.org")


class Scene:
    def __init__(self) -> None:
        self.store = MemoryStore()
        self.now = 100.0
        self.directory = Directory(self.store, "+", lambda: self.now)

    async def account(self, login: str = "ann@example.org") -> AccountId:
        account = await self.store.perform(create_account(login, Credentials("hash", {}), 1_700_000_000))
        return account.account_id


def play(story: Callable[[Scene], Awaitable[None]]) -> None:
    async def whole() -> None:
        scene = Scene()
        try:
            await story(scene)
        finally:
            scene.store.close()

    asyncio.run(whole())


def test_an_address_that_went_is_forgotten_a_moment_later() -> None:
    async def story(scene: Scene) -> None:
        ann = await scene.account()
        await scene.store.perform(add_address(ann, ALIAS))
        assert scene.directory.account_of(ALIAS) == ann
        await scene.store.perform(remove_address(ALIAS))
        scene.now += REMEMBERED
        assert scene.directory.account_of(ALIAS) is None

    play(story)


def test_a_new_address_receives_at_once_though_it_was_asked_for_before() -> None:
    async def story(scene: Scene) -> None:
        ann = await scene.account()
        assert scene.directory.account_of(ALIAS) is None
        await scene.store.perform(add_address(ann, ALIAS))
        assert scene.directory.account_of(ALIAS) == ann

    play(story)


def test_a_quota_is_looked_at_each_time_and_a_new_one_within_a_moment() -> None:
    async def story(scene: Scene) -> None:
        ann = await scene.account()
        assert not scene.directory.is_full(ann, 2000)
        await scene.store.perform(set_quota(ann, 1000, 0))
        scene.now += REMEMBERED
        assert scene.directory.is_full(ann, 2000)
        assert not scene.directory.is_full(ann, 1000)
        await scene.store.perform(set_quota(ann, 500, 0))
        assert scene.directory.is_full(ann, 1000)

    play(story)


def test_one_that_remembers_nothing_knows_at_once() -> None:
    async def story(scene: Scene) -> None:
        ann = await scene.account()
        directory = Directory(scene.store, "+", lambda: 0.0, 0)
        assert directory.account_of(ANN) == ann
        await scene.store.perform(remove_account(ann))
        assert directory.account_of(ANN) is None

    play(story)
