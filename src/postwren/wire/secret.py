"""A secret that cannot be printed by accident (A-97)."""

import hmac
from typing import Generic, TypeVar

__all__ = ["Secret"]

T = TypeVar("T", str, bytes)


class Secret(Generic[T]):
    """Wraps a password or key: `repr`, `str` and logs show dots; `reveal()` is the one way to the value."""

    __slots__ = ("_value",)

    def __init__(self, value: T) -> None:
        self._value: T = value

    def reveal(self) -> T:
        """The value itself."""
        return self._value

    def __repr__(self) -> str:
        return "Secret(...)"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        mine, theirs = _octets(self._value), _octets(other._value)
        return hmac.compare_digest(mine, theirs)

    __hash__ = None  # type: ignore[assignment]  # a secret is no key


def _octets(value: str | bytes) -> bytes:
    return value.encode() if isinstance(value, str) else value
