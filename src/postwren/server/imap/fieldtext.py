"""Header fields that were picked out of many messages lately: whoever opens a mailbox asks for the same few of the same messages,
and a message never changes."""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

from postwren.terms import AccountId

__all__ = ["FieldTexts"]

MOST_OCTETS: Final = 16 << 20
OVERHEAD: Final = 150
"""Octets of an entry beside its text."""

_Kind: TypeAlias = tuple[AccountId, frozenset[bytes]]


class FieldTexts:
    """By account and names of fields, those asked for last; bounded in octets. An email id never changes its meaning."""

    def __init__(self, most_octets: int = MOST_OCTETS) -> None:
        self._most_octets = most_octets
        self._by_kind: OrderedDict[_Kind, dict[int, bytes]] = OrderedDict()
        self._octets: dict[_Kind, int] = {}

    @property
    def octets(self) -> int:
        """Of all that is kept."""
        return sum(self._octets.values())

    def of(
        self,
        account_id: AccountId,
        names: frozenset[bytes],
        email_ids: Sequence[int],
        pick: Callable[[Sequence[int]], list[bytes] | None],
    ) -> list[bytes] | None:
        """The fields of these names of each of these emails. `pick` is asked for those that are not known; what it does not know
        either (None) is not kept."""
        kind = account_id, names
        kept = self._by_kind.get(kind, {})
        texts = [*map(kept.get, email_ids)]
        if None in texts:
            missing = [email_id for email_id, text in zip(email_ids, texts, strict=True) if text is None]
            picked = pick(missing)
            if picked is None:
                return None
            self._keep(kind, missing, picked)
            fresh = dict(zip(missing, picked, strict=True))
            return [fresh[email_id] if text is None else text for email_id, text in zip(email_ids, texts, strict=True)]
        if texts:
            self._by_kind.move_to_end(kind)
        return [text for text in texts if text is not None]

    def _keep(self, kind: _Kind, email_ids: Sequence[int], texts: Sequence[bytes]) -> None:
        size = sum(map(len, texts)) + OVERHEAD * len(texts)
        if size > self._most_octets:
            return
        while self._by_kind and self.octets + size > self._most_octets:
            oldest, _ = self._by_kind.popitem(last=False)
            del self._octets[oldest]
        self._by_kind.setdefault(kind, {}).update(zip(email_ids, texts, strict=True))
        self._by_kind.move_to_end(kind)
        self._octets[kind] = self._octets.get(kind, 0) + size
