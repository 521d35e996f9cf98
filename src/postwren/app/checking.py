"""Checking a store: every invariant and every message's octets, beside a running server."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import apsw

from postwren.config.schema import Config
from postwren.mailstore.invariant import check
from postwren.storage.embedded.check import DiskCheck, repair
from postwren.stores import open_store

__all__ = ["Report", "check_store"]


@dataclasses.dataclass(frozen=True, slots=True)
class Report:
    """What a check found: each fault with the name of the rule that is broken; what a repair put right."""

    messages: int
    faults: list[tuple[str, str]]
    repaired: list[tuple[str, str]]
    orphan_octets: int


async def check_store(data: Path, config: Config, is_repair: bool, progress: Callable[[str], None]) -> Report:
    """Every invariant and every message's octets, on one snapshot, beside a running server."""
    progress("rows")
    try:
        return await _checked(data, config, is_repair, progress)
    except apsw.Error as error:  # pages that cannot be read at all
        return Report(0, [("index", f"{data / 'index.db'} is damaged: {error}; put it back from a backup")], [], 0)


async def _checked(data: Path, config: Config, is_repair: bool, progress: Callable[[str], None]) -> Report:
    store = await open_store(data, config, only_reads=not is_repair)
    try:
        repaired = [(found.rule, found.detail) for found in repair(data)] if is_repair else []
        faults = await store.read(lambda reader: [(wrong.rule, str(wrong)) for wrong in check(reader)])
    finally:
        store.close()
    progress("octets")
    disk = DiskCheck(data)
    faults += [(found.rule, found.detail) for found in disk.run()]
    return Report(disk.messages, faults, repaired, disk.orphan_octets)
