"""The standard's own cases (RFC 7208): all of them, where the corpus is; our own suite beside this one always runs."""

import asyncio
import ipaddress
from collections.abc import Iterator
from typing import Any, Final

import pytest
import yaml  # type: ignore[import-untyped]
from tests.shared import SHARED

from postwren.mailauth.spf import check
from postwren.terms import Address
from postwren.wire.resolver import Answer, HostAddress, Kind, Mx, Ptr, Record, ResolverFailed, Txt

CORPUS: Final = SHARED / "corpora" / "spf" / "rfc7208-tests.yml"
NO_EXPLANATION: Final = "DEFAULT"


class ZoneData:
    """The zone of a scenario: SPF stands for TXT where a name has no TXT of its own; TIMEOUT for every type not listed."""

    def __init__(self, zone: dict[str, list[Any]]) -> None:
        self._zone = {name.lower().removesuffix("."): entries for name, entries in zone.items()}

    async def query(self, name: str, kind: Kind) -> Answer:
        for _ in range(8):
            entries = self._zone.get(name.lower().removesuffix("."), [])
            listed = [(key, value) for entry in entries if isinstance(entry, dict) for key, value in entry.items()]
            if kind == "TXT" and not any(key == "TXT" for key, _ in listed):
                listed = [("TXT" if key == "SPF" else key, value) for key, value in listed]
            alias = [value for key, value in listed if key == "CNAME"]
            if not alias:
                found = [value for key, value in listed if key == kind and value != "NONE"]
                if not found and "TIMEOUT" in entries:
                    raise ResolverFailed("timeout")
                return Answer(tuple(self._record(kind, value) for value in found))
            name = alias[0]
        raise ResolverFailed("a loop of aliases")

    def _record(self, kind: Kind, value: Any) -> Record:
        match kind:
            case "TXT":
                return Txt("".join(value).encode("latin-1"))
            case "MX":
                return Mx(int(value[0]), value[1])
            case "PTR":
                return Ptr(value)
            case _:
                return HostAddress(value)


def _cases() -> Iterator[Any]:
    if not CORPUS.exists():
        return
    for scenario in yaml.load_all(CORPUS.read_text(encoding="utf-8"), yaml.BaseLoader):
        for name, case in scenario["tests"].items():
            yield pytest.param(case, scenario["zonedata"], id=name)


CASES: Final = list(_cases())


@pytest.mark.skipif(not CORPUS.exists(), reason=f"{CORPUS} is absent")
def test_the_corpus_is_whole() -> None:
    assert len(CASES) == 203


@pytest.mark.skipif(not CORPUS.exists(), reason=f"{CORPUS} is absent")
@pytest.mark.parametrize(("case", "zone"), CASES)
def test_the_case_of_the_standard(case: dict[str, Any], zone: dict[str, list[Any]]) -> None:
    local, at, domain = case["mailfrom"].rpartition("@")
    sender = Address(local if at else "", domain) if case["mailfrom"] else None
    result = asyncio.run(check(ZoneData(zone), ipaddress.ip_address(case["host"]), case["helo"], sender, now=0))
    expected = case["result"] if isinstance(case["result"], list) else [case["result"]]
    assert result.result.value in expected, result.reason
    if "explanation" in case:
        assert (result.explanation or NO_EXPLANATION) == case["explanation"]
