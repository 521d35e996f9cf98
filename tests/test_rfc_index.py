"""docs/rfc/index.tsv is true: every RFC cited in the source stands there, and what says yes is cited by a test."""

import csv
import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
CITED = re.compile(r"RFC (\d{3,5})")
STATES = {"yes", "partial", "planned", "no"}


def index() -> dict[str, str]:
    with (ROOT / "docs/rfc/index.tsv").open(encoding="utf-8") as file:
        return {row["rfc"]: row["state"] for row in csv.DictReader(file, delimiter="\t")}


def cited(*folders: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix in (".py", ".script", ".md"):
                for number in CITED.findall(path.read_text(encoding="utf-8")):
                    found.setdefault(number, str(path.relative_to(ROOT)))
    return found


def test_states_are_known() -> None:
    assert set(index().values()) <= STATES


def test_every_cited_rfc_stands_in_the_index() -> None:
    known = index()
    assert {number: where for number, where in cited("src", "tests", "fuzz").items() if number not in known} == {}


def test_what_says_yes_is_cited_by_a_test() -> None:
    tested = cited("tests")
    assert [number for number, state in index().items() if state == "yes" and number not in tested] == []
