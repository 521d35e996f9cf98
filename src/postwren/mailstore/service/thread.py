"""THREAD (RFC 5256 section 3): ORDEREDSUBJECT, REFERENCES, and REFS, which is REFERENCES by ids alone with the threads in the
order of their newest messages (a draft that never became an RFC; servers offer it).

The answer is a `Forest`: nested lists would be as deep as the deepest thread, and a peer may make that 100,000 messages.
Every step is a loop over arrays, and linear but for sorting, whatever the references say (A-43).
"""

import enum
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from postwren.mailstore.service.keys import Linked
from postwren.mailstore.service.order import in_order

__all__ = ["Algorithm", "Forest", "thread"]

NOBODY: Final = -1


class Algorithm(enum.Enum):
    ORDEREDSUBJECT = "ORDEREDSUBJECT"
    REFERENCES = "REFERENCES"
    REFS = "REFS"


@dataclass(frozen=True, slots=True)
class Forest:
    """Threads as a walk from above: nodes in the order in which a THREAD response names them, each with its depth. A row of -1
    is a head that is not there (RFC 5256 section 4, `((3)(5))`); it is at depth 0 only, and has two children at least."""

    rows: Sequence[int]
    depths: Sequence[int]
    counts: Sequence[int]  # of children

    def threads(self) -> Iterator[list[tuple[int, int]]]:
        """(row, depth) of one thread after another."""
        found: list[tuple[int, int]] = []
        for row, depth in zip(self.rows, self.depths, strict=True):
            if depth == 0 and found:
                yield found
                found = []
            found.append((row, depth))
        if found:
            yield found


def thread(rows: Sequence[int], keys: Sequence[Linked], internaldates: Sequence[int], algorithm: Algorithm) -> Forest:
    """The threads of these messages, in mailbox order; `rows` are what they are to be called (UIDs, say)."""
    dates = [internal if key.sent is None else key.sent for key, internal in zip(keys, internaldates, strict=True)]
    match algorithm:
        case Algorithm.ORDEREDSUBJECT:
            return _ordered_subject(rows, keys, dates)
        case Algorithm.REFERENCES:
            return _references(_Tree(rows, keys, dates))
        case Algorithm.REFS:
            return _refs(_Tree(rows, keys, dates))


def _ordered_subject(rows: Sequence[int], keys: Sequence[Linked], dates: Sequence[int]) -> Forest:
    threads: dict[bytes, list[int]] = {}
    for each in in_order(range(len(rows)), dates.__getitem__):
        threads.setdefault(keys[each].subject, []).append(each)
    order = in_order(threads.values(), lambda members: (dates[members[0]], members[0]))
    flat = [(rows[each], at, len(members)) for members in order for at, each in enumerate(members)]
    return Forest(
        [row for row, _, _ in flat],
        [min(at, 1) for _, at, _ in flat],
        [0 if at else count - 1 for _, at, count in flat],
    )


class _Tree:
    """Nodes are numbered: messages first, in mailbox order, then those that are not there."""

    __slots__ = ("children", "count", "dates", "heads", "keys", "rows")

    def __init__(self, rows: Sequence[int], keys: Sequence[Linked], dates: Sequence[int]) -> None:
        self.rows = rows
        self.keys = keys
        self.dates = dates
        self.count = len(rows)
        parents = _parents(keys)
        self.children: list[list[int]] = [[] for _ in parents]
        self.heads: list[int] = []
        self._prune(parents)

    def _prune(self, parents: list[int]) -> None:
        """Steps 2 and 3: nodes that are not there go, but for heads of several messages."""
        above = _nearest(parents, self.count)
        for node in range(self.count):
            if above[node] != NOBODY:
                self.children[above[node]].append(node)
        for node, parent in enumerate(parents):
            if parent == NOBODY:
                children = self.children[node]
                if node < self.count or len(children) > 1:
                    self.heads.append(node)
                elif children:
                    self.heads.append(children[0])

    def is_there(self, node: int) -> bool:
        return node < self.count

    def add_head(self, children: list[int]) -> int:
        self.children.append(children)
        return len(self.children) - 1

    def place(self, node: int) -> tuple[int, int]:
        """What siblings are sorted by: the sent date, then the order in the mailbox (section 2.2). The children of a node that is
        not there must be sorted."""
        first = node if node < self.count else self.children[node][0]
        return self.dates[first], first

    def sort_children(self) -> None:
        """Step 6, and all that step 4 needs of it: only heads can be missing, so no order depends on a deeper one."""
        for node, siblings in enumerate(self.children):
            if len(siblings) > 1:
                self.children[node] = in_order(siblings, self.place)

    def newest(self, head: int) -> tuple[int, int]:
        """The newest message of a thread."""
        waiting, found = [head], self.place(head)
        while waiting:
            node = waiting.pop()
            waiting += self.children[node]
            if self.is_there(node):
                found = max(found, (self.dates[node], node))
        return found

    def forest(self) -> Forest:
        rows: list[int] = []
        depths: list[int] = []
        counts: list[int] = []
        waiting = [(head, 0) for head in reversed(self.heads)]
        while waiting:
            node, depth = waiting.pop()
            rows.append(self.rows[node] if self.is_there(node) else NOBODY)
            depths.append(depth)
            counts.append(len(self.children[node]))
            waiting += [(child, depth + 1) for child in reversed(self.children[node])]
        return Forest(rows, depths, counts)


def _parents(keys: Sequence[Linked]) -> list[int]:
    """Step 1: who answers whom.

    A link that another message's references would give a message that is still to come is left out: the message's own step
    1.B breaks it anyway. So no link is ever broken, a node that gets a parent is the top of its tree, and a loop shows by the top
    alone, which shortened paths find in (almost) no time."""
    parents = [NOBODY] * len(keys)
    tops = list(range(len(keys)))
    named: dict[str, int] = {}
    for node, key in enumerate(keys):
        if key.message_id is not None:
            named.setdefault(key.message_id, node)  # a second one of the same id has one of its own
    for node, key in enumerate(keys):
        above = NOBODY
        for reference in key.references:
            each = named.get(reference)
            if each is None:
                each = named[reference] = len(parents)
                parents.append(NOBODY)
                tops.append(each)
            is_to_come = node <= each < len(keys)
            if above != NOBODY and parents[each] == NOBODY and not is_to_come and _top(tops, above) != each:
                parents[each] = tops[each] = above
            above = each
        if above != NOBODY and _top(tops, above) != node:
            parents[node] = tops[node] = above
    return parents


def _top(tops: list[int], node: int) -> int:
    while tops[node] != node:
        tops[node] = tops[tops[node]]
        node = tops[node]
    return node


def _nearest(parents: list[int], count: int) -> list[int]:
    """The nearest node above each that stays: a message, or a head."""
    below: list[list[int]] = [[] for _ in parents]
    waiting: list[int] = []
    for node, parent in enumerate(parents):
        (waiting if parent == NOBODY else below[parent]).append(node)
    nearest = [NOBODY] * len(parents)
    while waiting:
        node = waiting.pop()
        stays = node < count or parents[node] == NOBODY
        for child in below[node]:
            nearest[child] = node if stays else nearest[node]
        waiting += below[node]
    return nearest


def _references(tree: _Tree) -> Forest:
    tree.sort_children()
    tree.heads = in_order(tree.heads, tree.place)
    _merge_subjects(tree)
    tree.sort_children()
    tree.heads = in_order(tree.heads, tree.place)
    return tree.forest()


def _refs(tree: _Tree) -> Forest:
    tree.sort_children()
    tree.heads = in_order(tree.heads, tree.newest)
    return tree.forest()


def _subject(tree: _Tree, head: int) -> bytes:
    """Step 5.B.i."""
    return tree.keys[head if tree.is_there(head) else tree.children[head][0]].subject


def _merge_subjects(tree: _Tree) -> None:
    """Step 5."""
    table: dict[bytes, int] = {}
    for head in tree.heads:
        subject = _subject(tree, head)
        if subject and (subject not in table or _goes_before(tree, head, table[subject])):
            table[subject] = head
    heads: dict[int, None] = dict.fromkeys(tree.heads)
    subjects = [(head, _subject(tree, head)) for head in tree.heads]  # before anything moves
    for head, subject in subjects:
        if subject and table[subject] != head:
            del heads[head]
            stays = table[subject]
            merged = _merge(tree, stays, head)
            if merged != stays:
                del heads[stays]
                heads[merged] = None
                table[subject] = merged
    tree.heads = list(heads)


def _goes_before(tree: _Tree, head: int, known: int) -> bool:
    """Step 5.B.iv."""
    if not tree.is_there(known):
        return False
    return not tree.is_there(head) or (tree.keys[known].is_reply and not tree.keys[head].is_reply)


def _merge(tree: _Tree, stays: int, head: int) -> int:
    """Step 5.C; returns the head of both."""
    if not tree.is_there(stays):
        tree.children[stays] += [head] if tree.is_there(head) else tree.children[head]
        return stays
    if tree.keys[head].is_reply and not tree.keys[stays].is_reply:
        tree.children[stays].append(head)
        return stays
    return tree.add_head([stays, head])
