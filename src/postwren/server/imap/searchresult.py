"""What SEARCH and SORT answer (RFC 9051 section 7.3.4, RFC 4731, 5182, 5267, 9394): from numbers found to a response."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from postwren.mailstore.service import uidrange
from postwren.protocols.imap.command.search import ReturnOption, Returns
from postwren.protocols.imap.response.search import Esearch, PartialResult

__all__ = ["Result", "answer", "in_order", "partial_of", "saved"]


@dataclass(frozen=True, slots=True)
class Result:
    """`numbers` are what the command counts in, in the order of the answer; `uids` are the same messages. `modseqs` is None where
    nobody asked for mod-sequences; `relevancy` where relevance was not."""

    numbers: Sequence[int]
    uids: Sequence[int]
    is_ascending: bool = True
    modseqs: Sequence[int] | None = None
    relevancy: Sequence[int] | None = None


_FIRST_LAST: Final = frozenset((ReturnOption.MIN, ReturnOption.MAX))


def answer(result: Result, returns: Returns, tag: str, *, is_uid: bool) -> Esearch:
    """RFC 4731 section 3.1: nothing found has no MIN, MAX and ALL."""
    numbers, options = result.numbers, returns.options
    ranges = uidrange.of(numbers) if result.is_ascending else in_order(numbers)
    wants_all = ReturnOption.ALL in options or (
        not options - {ReturnOption.UPDATE, ReturnOption.CONTEXT} and returns.partial is None
    )
    return Esearch(
        tag=tag,
        is_uid=is_uid,
        min=numbers[0] if numbers and ReturnOption.MIN in options else None,
        max=numbers[-1] if numbers and ReturnOption.MAX in options else None,
        count=len(numbers) if ReturnOption.COUNT in options else None,
        all=tuple(ranges) if numbers and wants_all else None,
        partial=None if returns.partial is None else _partial(result, *returns.partial),
        modseq=_modseq(result, returns),
        relevancy=tuple(result.relevancy) if result.relevancy is not None and ReturnOption.RELEVANCY in options else None,
    )


def _modseq(result: Result, returns: Returns) -> int | None:
    """RFC 7162 section 3.1.5 and RFC 4731 section 3.2: that of the messages named, where only some are."""
    if not result.modseqs:
        return None
    options = returns.options - {ReturnOption.SAVE}
    if options and options <= _FIRST_LAST and returns.partial is None:
        ends = [result.modseqs[0]] if ReturnOption.MIN in options else []
        return max(ends + ([result.modseqs[-1]] if ReturnOption.MAX in options else []))
    return max(result.modseqs)


def partial_of(numbers: Sequence[int], first: int, last: int) -> Sequence[int]:
    """RFC 9394 section 3.1: the first to the last of them; negative counts from the end."""
    count = len(numbers)
    low, high = sorted((first, last) if first > 0 else (count + 1 + first, count + 1 + last))
    return numbers[max(low - 1, 0) : max(high, 0)]


def _partial(result: Result, first: int, last: int) -> PartialResult:
    numbers = partial_of(result.numbers, first, last)
    ranges = uidrange.of(numbers) if result.is_ascending else in_order(numbers)
    return PartialResult(first, last, tuple(ranges) or None)


def in_order(numbers: Sequence[int]) -> list[tuple[int, int]]:
    """Numbers as ranges that keep their order."""
    ranges: list[tuple[int, int]] = []
    for number in numbers:
        if ranges and number == ranges[-1][1] + 1:
            ranges[-1] = ranges[-1][0], number
        else:
            ranges.append((number, number))
    return ranges


def saved(result: Result, returns: Returns) -> list[tuple[int, int]]:
    """RFC 5182 section 2.4: what `$` means afterwards, as UIDs. With MIN or MAX alone it is those; else everything."""
    options = returns.options
    if ReturnOption.ALL in options or ReturnOption.COUNT in options or not options & _FIRST_LAST:
        if returns.partial is not None and not options & {ReturnOption.ALL, ReturnOption.COUNT}:
            return [*uidrange.of(partial_of(result.uids, *returns.partial))]
        return [*uidrange.of(result.uids)]
    ends = [
        result.uids[at] for at, option in ((0, ReturnOption.MIN), (-1, ReturnOption.MAX)) if result.uids and option in options
    ]
    return [*uidrange.of(ends)]
