"""The IMAP dialogues on a real socket of our own server: what holds in memory holds behind `serve`, its link and its log."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from bench.lab.postwren import Postwren
from tests.interop.imap_dovecot import ACCOUNTS, SocketWire
from tests.scripts.imap_stage import CASES, PASSWORD, name_of, play_case, why_not

from postwren.testing.script import Case, cut_whole

pytestmark = pytest.mark.real
__all__: list[str] = []

THIRD: Final = [case for case in CASES if not {words[0] for words in case.stage} & {"account", "tls", "far"}][::2]
"""Of those that need one account."""
