"""The short form of `make crash`: twenty kills."""

from pathlib import Path

import pytest
from tests.crash.kill9 import crash

pytestmark = pytest.mark.real


def test_nothing_acknowledged_is_lost_through_twenty_kills(tmp_path: Path) -> None:
    report = crash(tmp_path, 20, seed=20)
    print(report.text())
    assert report.faults == []
    assert report.kills == 20
    assert report.acknowledged > 100
    assert report.deleted > 10
    assert report.imap_commands > 100
