"""THREAD (RFC 5256 section 3): ORDEREDSUBJECT, REFERENCES, and REFS, which is REFERENCES by ids alone with the threads in the
order of their newest messages (a draft that never became an RFC; servers offer it).

The answer is a `Forest`: nested lists would be as deep as the deepest thread, and a peer may make that 100,000 messages.
Every step is a loop over arrays, and linear but for sorting, whatever the references say (A-43).
"""

import enum
from collections.abc import Iterable, Iterator, Sequence
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
    """Nodes are numbered: messages first, in mailbox order, then those that are not there. Most messages are threads of their
    own, so only nodes with children have a list of them."""

    __slots__ = ("children", "count", "heads", "keys", "rank", "rows")

    def __init__(self, rows: Sequence[int], keys: Sequence[Linked], dates: Sequence[int]) -> None:
        self.rows = rows
        self.keys = keys
        self.count = len(rows)
        self.children: dict[int, list[int]] = {}
        parents = _parents(keys)
        # what siblings are sorted by: the sent date, then the order in the mailbox (section 2.2)
        self.rank = [0] * len(parents)
        for rank, node in enumerate(in_order(range(self.count), dates.__getitem__)):
            self.rank[node] = rank
        self.heads: list[int] = []
        self._plant(parents)

    def _plant(self, parents: list[int]) -> None:
        """Steps 2 and 3: nodes that are not there go, but for heads of several messages."""
        top: dict[int, int] = {}  # of nodes that are not there: what stays of them and those above
        for node in range(self.count):
            parent = parents[node]
            if parent >= self.count:
                parent = _staying(parents, self.count, top, parent)
            if parent == NOBODY:
                self.heads.append(node)
            elif parent in self.children:
                self.children[parent].append(node)
            else:
                self.children[parent] = [node]
        for head in sorted(set(top.values())):
            if head >= self.count and head in self.children:
                siblings = self.children[head]
                self.heads.append(head if len(siblings) > 1 else self.children.pop(head)[0])

    def is_there(self, node: int) -> bool:
        return node < self.count

    def add_head(self, children: list[int]) -> int:
        head = len(self.rank)
        self.rank.append(0)
        self.children[head] = children
        return head

    def sort_children(self, nodes: Iterable[int]) -> None:
        """Step 6, and all that step 4 needs of it. A node that is not there goes by its first child; only heads can be such, so
        no order of siblings depends on a deeper one."""
        for node in nodes:
            siblings = self.children[node]
            if len(siblings) > 1:
                siblings = self.children[node] = in_order(siblings, self.rank.__getitem__)
            if node >= self.count:
                self.rank[node] = self.rank[siblings[0]]

    def sort_heads(self) -> None:
        """Step 4."""
        self.heads = in_order(self.heads, self.rank.__getitem__)

    def newest(self, head: int) -> int:
        """The rank of a thread's newest message."""
        waiting, newest = [head], self.rank[head]
        while waiting:
            node = waiting.pop()
            newest = max(newest, self.rank[node])
            waiting += self.children.get(node, ())
        return newest

    def forest(self) -> Forest:
        rows: list[int] = []
        depths: list[int] = []
        counts: list[int] = []
        for head in self.heads:
            if head not in self.children:
                rows.append(self.rows[head])
                depths.append(0)
                counts.append(0)
                continue
            waiting = [(head, 0)]
            while waiting:
                node, depth = waiting.pop()
                children = self.children.get(node, ())
                rows.append(self.rows[node] if node < self.count else NOBODY)
                depths.append(depth)
                counts.append(len(children))
                waiting += [(child, depth + 1) for child in reversed(children)]
        return Forest(rows, depths, counts)


def _parents(keys: Sequence[Linked]) -> list[int]:
    """Step 1: who answers whom.

    A link that another message's references would give a message that is still to come is left out: the message's own step
    1.B breaks it anyway. So no link is ever broken, a node that gets a parent is the top of its tree, and a loop shows by the top
    alone, which shortened paths find in (almost) no time."""
    count = len(keys)
    parents = [NOBODY] * count
    tops = list(range(count))
    named: dict[str, int] = {}
    for node, key in enumerate(keys):
        if key.message_id is not None:
            named.setdefault(key.message_id, node)  # a second one of the same id has one of its own
    for node, key in enumerate(keys):
        if not key.references:
            continue
        above = NOBODY
        for reference in key.references:
            each = named.get(reference)
            if each is None:
                each = named[reference] = len(parents)
                parents.append(NOBODY)
                tops.append(each)
            is_to_come = node <= each < count
            if above != NOBODY and parents[each] == NOBODY and not is_to_come and _top(tops, above) != each:
                parents[each] = tops[each] = above
            above = each
        if _top(tops, above) != node:
            parents[node] = tops[node] = above
    return parents


def _top(tops: list[int], node: int) -> int:
    while tops[node] != node:
        tops[node] = tops[tops[node]]
        node = tops[node]
    return node


def _staying(parents: list[int], count: int, known: dict[int, int], node: int) -> int:
    """The nearest node from one that is not there upward that stays: a message, or a head. What was passed is noted."""
    passed = []
    while node >= count and node not in known and parents[node] != NOBODY:
        passed.append(node)
        node = parents[node]
    found = known.get(node, node)
    for each in passed:
        known[each] = found
    if found >= count:
        known[found] = found
    return found


def _references(tree: _Tree) -> Forest:
    tree.sort_children(tree.children)
    tree.sort_heads()
    tree.sort_children(_merge_subjects(tree))
    tree.sort_heads()
    return tree.forest()


def _refs(tree: _Tree) -> Forest:
    tree.sort_children(tree.children)
    tree.heads = in_order(tree.heads, tree.newest)
    return tree.forest()


def _merge_subjects(tree: _Tree) -> set[int]:
    """Step 5; returns the nodes whose children are not in order any more."""
    table: dict[bytes, int] = {}
    subjects = [(head, tree.keys[head if head < tree.count else tree.children[head][0]].subject) for head in tree.heads]
    for head, subject in subjects:
        if subject and (subject not in table or _goes_before(tree, head, table[subject])):
            table[subject] = head
    heads = dict.fromkeys(tree.heads)
    touched: set[int] = set()
    for head, subject in subjects:
        if subject and table[subject] != head:
            stays = table[subject]
            merged = table[subject] = _merge(tree, stays, head)
            touched.add(merged)
            touched.discard(head)
            del heads[head]
            if merged != stays:
                del heads[stays]
                heads[merged] = None
    tree.heads = list(heads)
    return touched


def _goes_before(tree: _Tree, head: int, known: int) -> bool:
    """Step 5.B.iv."""
    if not tree.is_there(known):
        return False
    return not tree.is_there(head) or (tree.keys[known].is_reply and not tree.keys[head].is_reply)


def _merge(tree: _Tree, stays: int, head: int) -> int:
    """Step 5.C; returns the head of both."""
    if not tree.is_there(stays):
        tree.children[stays] += [head] if tree.is_there(head) else tree.children.pop(head)
        return stays
    if tree.keys[head].is_reply and not tree.keys[stays].is_reply:
        tree.children.setdefault(stays, []).append(head)
        return stays
    return tree.add_head([stays, head])
