"""docs/proof.md is true: every test that it names exists, and no line of the issue lacks one."""

import re
from typing import Final

import pytest

from tests.test_limits import ROOT, names_in

ROW: Final = re.compile(r"\| ([AD]-\d\d) \| [^|]+ \| (.+) \|")
NUMBERS: Final = {
    *(f"D-{number:02}" for number in (*range(1, 13), 20, 21, *range(30, 42), *range(50, 54), *range(70, 75))),
    *(f"A-{number:02}" for number in (*range(1, 11), *range(20, 38), *range(40, 51), *range(60, 65))),
    *(f"A-{number:02}" for number in range(90, 98)),
}
ROWS: Final = dict(ROW.findall((ROOT / "docs/proof.md").read_text(encoding="utf-8")))


def test_every_line_has_a_row() -> None:
    assert set(ROWS) == NUMBERS


@pytest.mark.parametrize("number", ROWS)
def test_what_proves_a_line_exists(number: str) -> None:
    cited = re.findall(r"`([^`]+)::([^`]+)`", ROWS[number])
    assert cited
    for file, name in cited:
        assert name in names_in(file), (file, name)
