"""THREAD (RFC 5256 section 3) against the standard's own words, worked by hand and by a plain, slow reading of its six steps."""

import random
import time
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postwren.mailstore.service.keys import Linked
from postwren.mailstore.service.thread import Algorithm, Forest, thread


def message(name: str | None, *references: str, subject: str = "", is_reply: bool = False, sent: int | None = None) -> Linked:
    return Linked(sent, subject.upper().encode(), is_reply, name, references)


def shown(messages: Sequence[Linked], algorithm: Algorithm = Algorithm.REFERENCES) -> str:
    """The THREAD response of a mailbox, whose messages count from 1."""
    return rendered(thread(range(len(messages)), messages, range(len(messages)), algorithm))


def rendered(forest: Forest) -> str:
    """RFC 5256 section 5, thread-list, without recursion."""
    text: list[str] = []
    closing: dict[int, int] = {}  # parentheses that end when this depth is reached again
    counts: list[int] = []
    for row, depth, count in zip(forest.rows, forest.depths, forest.counts, strict=True):
        for each in range(max(closing, default=0), depth - 1, -1):
            text.append(")" * closing.pop(each, 0))
        del counts[depth:]
        if depth == 0 or counts[depth - 1] > 1:
            text.append("(")
            closing[depth] = closing.get(depth, 0) + 1
        elif counts[depth - 1] == 1:
            text.append(" ")
        if row >= 0:
            text.append(str(row + 1) + (" " if count > 1 else ""))
        counts.append(count)
    text.append(")" * sum(closing.values()))
    return "".join(text)


def test_the_example_of_section_4() -> None:
    forest = Forest(
        [1, 2, 5, 3, 22, 43, 6, 95], [0, 0, 1, 2, 3, 2, 3, 4], [0, 1, 2, 1, 0, 1, 1, 0]
    )  # * THREAD (2)(3 6 (4 23)(44 7 96))
    assert rendered(forest) == "(2)(3 6 (4 23)(44 7 96))"


STORIES = {
    "a chain": ([message("a"), message("b", "a"), message("c", "a", "b")], "(1 2 3)"),
    "siblings in order of their dates": (
        [message("a"), message("b", "a", sent=9), message("c", "a", sent=8)], "(1 (3)(2))"
    ),
    "one that is not there between two": ([message("a"), message("c", "a", "b")], "(1 2)"),
    "siblings whose parent is not there": ([message("b", "a"), message("c", "a")], "((1)(2))"),
    "an only child of one that is not there": ([message("b", "a")], "(1)"),
    "nobody there for several generations": ([message("d", "a", "b", "c"), message("e", "a", "b", "c")], "((1)(2))"),
    "cousins below one that is not there": ([message("d", "a", "b"), message("e", "a", "c")], "((1)(2))"),
    "the answer came first": ([message("b", "a"), message("a")], "(2 1)"),
    "two messages of one id: the first has it": ([message("a"), message("a"), message("b", "a")], "(1 3)(2)"),
    "no id at all": ([message(None), message(None, "x")], "(1)(2)"),
    "a message that answers itself": ([message("a", "a")], "(1)"),
    "two that answer each other": ([message("a", "b"), message("b", "a")], "(2 1)"),
    "three in a ring": ([message("a", "c"), message("b", "a"), message("c", "b")], "(3 1 2)"),
    "its own references count, not those of others": (
        [message("a"), message("x"), message("c", "a", "b"), message("b", "x")], "(1)(2 4 3)"
    ),
    "truncated references do not tear a thread apart": (
        [message("a"), message("b", "a"), message("c", "a", "b"), message("d", "a", "c")], "(1 2 3 4)"
    ),
    "ids differ by case": ([message("a"), message("b", "A")], "(1)(2)"),
    "replies by subject below the message": (
        [message("a", subject="x"), message("b", subject="x", is_reply=True), message("c", subject="X", is_reply=True)],
        "(1 (2)(3))",
    ),
    "the message came after its replies": (
        [message("b", subject="x", is_reply=True), message("a", subject="x")], "(2 1)"
    ),
    "equal subjects without a reply": ([message("a", subject="x"), message("b", subject="x")], "((1)(2))"),
    "three equal subjects": ([message(c, subject="x") for c in "abc"], "((1)(2)(3))"),
    "no subject is no subject to share": ([message("a"), message("b")], "(1)(2)"),
    "a reply joins those without parent": (
        [message("b", "a", subject="x"), message("c", "a", subject="x"), message("d", subject="x", is_reply=True)],
        "((1)(2)(3))",
    ),
    "two without parents are put together": (
        [message("b", "a", subject="x"), message("c", "a"), message("e", "d", subject="x"), message("f", "d")],
        "((1)(2)(3)(4))",
    ),
    "threads in order of their dates": ([message("a", sent=9), message("b", sent=1)], "(2)(1)"),
}  # fmt: skip


@pytest.mark.parametrize("story", STORIES)
def test_references(story: str) -> None:
    messages, expected = STORIES[story]
    assert shown(messages) == expected


def test_refs_leaves_subjects_alone_and_puts_the_liveliest_thread_last() -> None:
    messages = [message("a", subject="x", sent=1), message("b", subject="x", is_reply=True, sent=2), message("c", "a", sent=3)]
    assert shown(messages) == "(1 (2)(3))"
    assert shown(messages, Algorithm.REFS) == "(2)(1 3)"


def test_ordered_subject() -> None:
    messages = [message(None, subject=subject, sent=sent) for subject, sent in [("b", 5), ("a", 4), ("b", 1), ("a", 9), ("b", 7)]]
    assert shown(messages, Algorithm.ORDEREDSUBJECT) == "(3 (1)(5))(2 4)"


def test_a_missing_date_is_the_internal_date() -> None:
    keys = [message("a", sent=100), message("b"), message("c", sent=10)]
    forest = thread([0, 1, 2], keys, [0, 50, 0], Algorithm.REFERENCES)
    assert list(forest.rows) == [2, 1, 0]


def test_rows_are_those_of_the_mailbox_and_not_of_the_result() -> None:
    forest = thread([7, 9], [message("a"), message("b", "a")], [0, 0], Algorithm.REFERENCES)
    assert (list(forest.rows), list(forest.depths)) == ([7, 9], [0, 1])


# -- the six steps as they are written, one object a message


class Node:
    def __init__(self, number: int | None) -> None:
        self.number = number
        self.parent: Node | None = None
        self.children: list[Node] = []

    def below(self, other: "Node") -> bool:
        node: Node | None = self
        while node is not None:
            if node is other:
                return True
            node = node.parent
        return False

    def adopt(self, child: "Node") -> None:
        if child.parent is not None:
            child.parent.children.remove(child)
        child.parent = self
        self.children.append(child)


class Plain:
    def __init__(self, keys: Sequence[Linked]) -> None:
        self.keys = keys
        self.nodes = [Node(number) for number in range(len(keys))]

    def first(self, node: Node) -> int:
        return node.number if node.number is not None else self.first(node.children[0])

    def order(self, node: Node) -> tuple[int, int]:
        first = self.first(node)
        sent = self.keys[first].sent
        return (first if sent is None else sent, first)

    def run(self) -> list[Node]:
        self.step1()
        root = Node(None)
        for node in [*self.nodes, *self.dummies]:
            if node.parent is None:
                root.adopt(node)
        self.prune(root)
        self.sort(root)
        self.subjects(root)
        self.sort(root)
        return root.children

    def step1(self) -> None:
        ids: dict[str, Node] = {}
        self.dummies: list[Node] = []
        for node, key in zip(self.nodes, self.keys, strict=True):
            if key.message_id is not None:
                ids.setdefault(key.message_id, node)
        for node, key in zip(self.nodes, self.keys, strict=True):
            chain = []
            for name in key.references:
                if name not in ids:
                    ids[name] = Node(None)
                    self.dummies.append(ids[name])
                chain.append(ids[name])
            for above, below in pairwise(chain):
                if below.parent is None and not above.below(below):
                    above.adopt(below)
            if node.parent is not None:
                node.parent.children.remove(node)
                node.parent = None
            if chain and not chain[-1].below(node):
                chain[-1].adopt(node)

    def prune(self, node: Node, is_root: bool = True) -> None:
        for child in list(node.children):
            self.prune(child, False)
            if child.number is None and (not child.children or not is_root or len(child.children) == 1):
                for each in list(child.children):
                    node.adopt(each)
                node.children.remove(child)

    def sort(self, node: Node) -> None:
        for child in node.children:
            self.sort(child)
        node.children.sort(key=self.order)

    def subjects(self, root: Node) -> None:
        table: dict[bytes, Node] = {}
        of = {id(child): self.keys[self.first(child)] for child in root.children}
        for child in root.children:
            key = of[id(child)]
            if key.subject:
                known = table.get(key.subject)
                if known is None or (
                    known.number is not None and (child.number is None or (of[id(known)].is_reply and not key.is_reply))
                ):
                    table[key.subject] = child
        for child in list(root.children):
            key = of[id(child)]
            known = table.get(key.subject)
            if known is None or known is child:
                continue
            if known.number is None and child.number is None:
                for each in list(child.children):
                    known.adopt(each)
                root.children.remove(child)
            elif known.number is None or (key.is_reply and not of[id(known)].is_reply):
                known.adopt(child)
            else:
                dummy = Node(None)
                root.adopt(dummy)
                dummy.adopt(child)
                dummy.adopt(known)
                table[key.subject] = dummy


def plainly(keys: Sequence[Linked]) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []

    def walk(nodes: Iterable[Node], depth: int) -> None:
        for node in nodes:
            found.append((-1 if node.number is None else node.number, depth))
            walk(node.children, depth + 1)

    walk(Plain(keys).run(), 0)
    return found


@st.composite
def conversations(draw: st.DrawFn) -> list[Linked]:
    """Messages whose references tell of one truth, in any order, some missing, some with their references cut."""
    count = draw(st.integers(1, 14))
    ancestors: list[list[str]] = []
    for number in range(count):
        parent = draw(st.integers(-1, number - 1))
        ancestors.append([] if parent < 0 else [*ancestors[parent], str(parent)])
    messages = []
    for number in draw(st.permutations(range(count))):
        if draw(st.integers(0, 4)):
            chain = ancestors[number]
            cut = draw(st.sampled_from([chain, chain[-1:], chain[:1] + chain[-2:] if len(chain) > 2 else chain]))
            messages.append(
                message(
                    str(number) if draw(st.integers(0, 9)) else None,
                    *cut,
                    subject=draw(st.sampled_from(["", "x", "y"])),
                    is_reply=draw(st.booleans()),
                    sent=draw(st.none() | st.integers(0, 5)),
                )
            )
    return messages


@settings(max_examples=300, deadline=None)
@given(conversations())
def test_it_is_what_the_six_steps_say(keys: list[Linked]) -> None:
    forest = thread(range(len(keys)), keys, range(len(keys)), Algorithm.REFERENCES)
    assert list(zip(forest.rows, forest.depths, strict=True)) == plainly(keys)


IDS = st.sampled_from("abcdefgh")


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.builds(
            lambda name, refs, subject, is_reply: message(name, *dict.fromkeys(refs), subject=subject, is_reply=is_reply),
            st.none() | IDS, st.lists(IDS, max_size=5), st.sampled_from(["", "x", "y"]), st.booleans(),
        ),
        max_size=12,
    ),
    st.sampled_from(Algorithm),
)  # fmt: skip
def test_whatever_the_references_every_message_is_there_once(keys: list[Linked], algorithm: Algorithm) -> None:
    forest = thread(range(len(keys)), keys, range(len(keys)), algorithm)
    assert sorted(row for row in forest.rows if row >= 0) == list(range(len(keys)))
    for at, (row, depth, count) in enumerate(zip(forest.rows, forest.depths, forest.counts, strict=True)):
        behind = list(forest.depths[at + 1 :])
        inside = behind[: next((n for n, each in enumerate(behind) if each <= depth), len(behind))]
        assert inside.count(depth + 1) == count
        assert row >= 0 or (depth == 0 and count > 1)
        assert at == 0 or depth <= forest.depths[at - 1] + 1


def chain(count: int) -> list[Linked]:
    return [message(str(n), *[str(n - 1)] * (n > 0)) for n in range(count)]


def comb(count: int) -> list[Linked]:
    """A long chain, then pairs whose upper one is hung below it late: looking for loops by walking up would be quadratic."""
    half = count // 2
    pairs = [message(f"low{n}", f"up{n}") for n in range(half // 2)]
    return chain(half) + pairs + [message(f"up{n}", str(half - 1)) for n in range(half // 2)]


HOSTILE: dict[str, Callable[[int], list[Linked]]] = {
    "a chain": chain,
    "a chain backwards": lambda count: chain(count)[::-1],
    "a shuffled chain": lambda count: random.Random(1).sample(chain(count), count),
    "a comb": comb,
    "a ring": lambda count: [*chain(count)[1:], message("0", str(count - 1))],
    "one subject": lambda count: [message(None, subject="x", is_reply=n % 2 == 0) for n in range(count)],
    "one parent that is not there": lambda count: [message(str(n), "gone") for n in range(count)],
}  # fmt: skip


@pytest.mark.parametrize("shape", HOSTILE)
def test_a_hundred_thousand_messages_cost_what_their_number_costs(shape: str) -> None:
    """A-43. A ratio, not seconds: eight times the messages, less than 40 times the time (the square is 64)."""
    spent = []
    for count in (12_500, 100_000):
        keys = HOSTILE[shape](count)
        start = time.process_time()
        forest = thread(range(len(keys)), keys, range(len(keys)), Algorithm.REFERENCES)
        spent.append(time.process_time() - start)
        assert len(forest.rows) >= len(keys)
    assert spent[1] < 40 * max(spent[0], 0.01), spent
