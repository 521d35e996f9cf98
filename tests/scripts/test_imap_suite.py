"""The IMAP dialogues as a whole: enough of them, each with its RFC section, each with a name of its own."""

import re
from collections import Counter

from tests.scripts.imap_stage import CASES, name_of, why_not


def test_there_are_enough_dialogues() -> None:
    assert len(CASES) >= 800


def test_names_are_not_used_twice() -> None:
    assert [name for name, count in Counter(map(name_of, CASES)).items() if count > 1] == []


def test_a_dialogue_cites_the_standard() -> None:
    assert [name_of(case) for case in CASES if not re.search(r"RFC \d+ (section|appendix)|A-4\d", case.cites)] == []


def test_a_dialogue_ends_with_an_answer() -> None:
    assert [name_of(case) for case in CASES if case.steps[-1].kind not in ("S", "any", "close", "silence", "tls")] == []


def test_what_differs_says_why() -> None:
    for case in CASES:
        for words in case.stage:
            if words[0] == "not":
                assert len(words) > 2, name_of(case)
            if words[0] == "only":
                assert re.search(r"RFC \d+", " ".join(words)), name_of(case)


def test_most_dialogues_are_for_other_servers_too() -> None:
    everything = {word for case in CASES for words in case.stage if words[0] == "requires" for word in words[1:]}
    assert sum(not why_not(case, "dovecot", everything) for case in CASES) >= 700
