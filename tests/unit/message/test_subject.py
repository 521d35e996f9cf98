"""Base subjects: RFC 5256 section 2.1."""

import pytest

from postwren.message.limits import Limits
from postwren.message.subject import base_subject

CASES = [
    ("hello", "hello", False),
    ("Re: hello", "hello", True),
    ("RE : hello", "hello", True),
    ("Fwd: Fw: re: hello", "hello", True),
    ("Re[2]: hello", "hello", True),
    ("Re [list] : hello", "hello", True),
    ("[list] hello", "hello", False),
    ("[list] Re: [other] Fwd: hello", "hello", True),
    ("[a] [b] hello", "hello", False),
    ("[a]", "[a]", False),
    ("[a] [b]", "[b]", False),
    ("Re: [a]", "[a]", True),
    ("hello (fwd) (FWD) ", "hello", True),
    ("[fwd: hello]", "hello", True),
    ("[Fwd: [fwd: Re: hello (fwd)]]", "hello", True),
    ("  many \t spaces\there ", "many spaces here", False),
    ("Re:", "", True),
    ("", "", False),
    ("Reply: hello", "Reply: hello", False),
    ("[fwd:]", "", True),
    ("[fwd: open", "[fwd: open", False),
    ("[", "[", False),
    ("[fwd: [x] ]", "[x]", True),
    ("Re: hello [not a leader]", "hello [not a leader]", True),
]


@pytest.mark.parametrize(("subject", "base", "is_reply"), CASES, ids=[c[0] for c in CASES])
def test_base_subject(subject: str, base: str, is_reply: bool) -> None:
    assert base_subject(subject) == (base, is_reply)


def test_a_base_subject_ends_at_the_cap() -> None:
    assert len(base_subject("x" * 11, Limits(subject=10)).text) == 10
