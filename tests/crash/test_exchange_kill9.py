"""The short form of the exchange's part of `make crash`."""

from pathlib import Path

import pytest
from tests.crash.exchange_kill9 import crash

pytestmark = pytest.mark.real


def test_d01_d07_mail_on_its_way_out_outlives_eight_kills(tmp_path: Path) -> None:
    report = crash(tmp_path, 8, seed=8)
    print(report.text())
    assert report.faults == []
    assert report.kills == 8
    assert report.acknowledged > 30
    assert report.reports > 5
