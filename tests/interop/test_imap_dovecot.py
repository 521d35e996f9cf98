"""The IMAP dialogues against Dovecot 2.3, wherever it has the extension: what we expect is what a real server says."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from bench.lab.process import Unavailable
from tests.interop.imap_dovecot import ImapDovecot
from tests.scripts.imap_stage import CASES, name_of, play_case, why_not

from postwren.testing.script import Case, cut_whole

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def dovecot(folder: Path) -> Iterator[ImapDovecot]:
    try:
        server = ImapDovecot(folder)
        server.start()
    except Unavailable as error:
        pytest.skip(str(error))
    yield server
    server.stop()


@pytest.fixture(scope="module")
def capabilities(dovecot: ImapDovecot) -> set[str]:
    return asyncio.run(dovecot.capabilities())


@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_dialogue(case: Case, dovecot: ImapDovecot, capabilities: set[str]) -> None:
    if reason := why_not(case, "dovecot", capabilities):
        pytest.skip(reason)

    async def story() -> None:
        dovecot.new_case()
        try:
            await play_case(dovecot, case, cut_whole)
        finally:
            await dovecot.close_case()

    asyncio.run(story())
