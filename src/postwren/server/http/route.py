"""The rows of the table of documents. Whoever is asked gives an answer or None, which is 404."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from postwren.protocols.http.server import Answer, Requested

__all__ = ["Ask", "Route", "document", "find"]

Ask: TypeAlias = Callable[[Requested], Answer | None]


@dataclass(frozen=True, slots=True)
class Route:
    """`path` is whole, or with `is_prefix` what it begins with. With `needs_tls` it does not exist without."""

    path: str
    ask: Ask
    is_prefix: bool = False
    needs_tls: bool = False


def find(routes: Sequence[Route], request: Requested, *, is_tls: bool) -> Answer | None:
    """The answer of the first row that is meant."""
    for route in routes:
        is_meant = request.path.startswith(route.path) if route.is_prefix else request.path == route.path
        if is_meant and (is_tls or not route.needs_tls):
            return route.ask(request)
    return None


def document(kind: str, body: bytes) -> Answer:
    """200. Nobody is to guess another kind from what is in it."""
    return Answer(200, [("Content-Type", kind), ("X-Content-Type-Options", "nosniff")], body)
