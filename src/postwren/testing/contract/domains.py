"""Domains and their keys."""

import pytest

from postwren.mailstore.domain import Domain, KeyState
from postwren.mailstore.errors import DomainExists, DomainInvalid, NoSuchDomain
from postwren.mailstore.service.domains import (
    NewKey,
    activate_keys,
    active_keys,
    add_domain,
    canonical_domain,
    change_domain,
    find_domain,
    new_selectors,
    prepare_keys,
    remove_domain,
)
from postwren.testing.contract.scene import Scene, story
from postwren.wire.secret import Secret

__all__ = ["DomainContract"]


def _keys(*selectors: str) -> list[NewKey]:
    algorithms = ("rsa", "ed25519")
    return [NewKey(each, algorithms[at % 2], f"p={each}", Secret(each.encode())) for at, each in enumerate(selectors)]


class DomainContract:
    """What domains do."""

    @story
    async def test_a_domain_that_was_added_is_there_with_its_keys(self, scene: Scene) -> None:
        row = Domain("example.org", scene.now, "quarantine", "post@example.org")
        assert not scene.reader.domain_exists("example.org")
        await scene.store.perform(add_domain(row, _keys("b", "a")))
        await scene.store.perform(add_domain(Domain("example.com", scene.now), []))
        assert scene.reader.domain("example.org") == find_domain(scene.reader, "Example.ORG.") == row
        assert [each.name for each in scene.reader.domains()] == ["example.com", "example.org"]
        keys = scene.reader.dkim_keys("example.org")
        assert [(key.selector, key.algorithm, key.state) for key in keys] == [
            ("a", "ed25519", KeyState.ACTIVE),
            ("b", "rsa", KeyState.ACTIVE),
        ]
        assert [key.private.reveal() for key in keys] == [b"a", b"b"]
        assert "b'a'" not in repr(keys)
        assert scene.reader.domain_exists("example.org")
        assert active_keys(scene.reader, "example.com") == active_keys(scene.reader, "example.net") == []

    @story
    async def test_a_domain_is_added_once_under_one_name(self, scene: Scene) -> None:
        name = canonical_domain("B\u00fccher.Example")
        assert name == "xn--bcher-kva.example"
        await scene.store.perform(add_domain(Domain(name, scene.now), _keys("a")))
        with pytest.raises(DomainExists):
            await scene.store.perform(add_domain(Domain(name, scene.now), _keys("b")))
        assert [key.selector for key in scene.reader.dkim_keys(name)] == ["a"]
        for text in ("", "localhost", "a b.example", "-x-.example", "a" * 64 + ".org", "ann@example.org"):
            with pytest.raises(DomainInvalid):
                canonical_domain(text)

    @story
    async def test_keys_are_prepared_then_sign_then_are_retired_without_their_private_half(self, scene: Scene) -> None:
        await scene.store.perform(add_domain(Domain("example.org", scene.now), _keys("a", "b")))
        assert await scene.store.perform(activate_keys("example.org")) == []
        await scene.store.perform(prepare_keys("example.org", _keys("x"), scene.now))
        await scene.store.perform(prepare_keys("example.org", _keys("c", "d"), scene.now))
        assert [key.selector for key in active_keys(scene.reader, "example.org")] == ["a", "b"]
        retired = await scene.store.perform(activate_keys("example.org"))
        assert [key.selector for key in retired] == ["a", "b"]
        assert [key.selector for key in active_keys(scene.reader, "example.org")] == ["c", "d"]
        old = scene.reader.dkim_keys("example.org")[0]
        assert (old.state, old.private.reveal(), old.public) == (KeyState.RETIRED, b"", "p=a")
        await scene.store.perform(prepare_keys("example.org", _keys("e", "f"), scene.now))
        assert [key.selector for key in scene.reader.dkim_keys("example.org")] == ["c", "d", "e", "f"]

    @story
    async def test_what_is_published_can_be_changed(self, scene: Scene) -> None:
        await scene.store.perform(add_domain(Domain("example.org", scene.now), []))
        changed = await scene.store.perform(change_domain("example.org", dmarc="none"))
        assert changed == scene.reader.domain("example.org") == Domain("example.org", scene.now, "none")

    @story
    async def test_a_domain_that_is_removed_takes_its_keys_along(self, scene: Scene) -> None:
        ann = await scene.account("ann@example.org")
        await scene.store.perform(add_domain(Domain("example.org", scene.now), _keys("a")))
        await scene.store.perform(add_domain(Domain("example.com", scene.now), _keys("a")))
        await scene.store.perform(remove_domain("example.org"))
        assert scene.reader.dkim_keys("example.org") == []
        assert len(scene.reader.dkim_keys("example.com")) == 1
        assert scene.reader.domain_exists("example.org"), ann
        await scene.store.perform(remove_domain("example.com"))
        assert not scene.reader.domain_exists("example.com")
        for unit in (remove_domain("example.com"), activate_keys("example.com"), prepare_keys("example.com", [], 0)):
            with pytest.raises(NoSuchDomain):
                await scene.store.perform(unit)

    @story
    async def test_a_unit_that_fails_leaves_no_key(self, scene: Scene) -> None:
        await scene.store.perform(add_domain(Domain("example.org", scene.now), _keys("a")))

        def fails(tx: object) -> None:
            change_domain("example.org", reports="x@y")(tx)  # type: ignore[arg-type]
            remove_domain("example.org")(tx)  # type: ignore[arg-type]
            raise NoSuchDomain("on purpose")

        with pytest.raises(NoSuchDomain):
            await scene.store.perform(fails)
        assert scene.reader.domains() == [Domain("example.org", scene.now)]
        assert len(active_keys(scene.reader, "example.org")) == 1

    def test_selectors_are_the_month_and_a_letter(self) -> None:
        assert new_selectors(["202611a", "x"], "202611", 2) == ["202611b", "202611c"]
        assert new_selectors(new_selectors([], "202611", 26), "202611", 1) == ["202611aa"]
