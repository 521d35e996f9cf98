"""The fuzz runner: it repeats itself, it sees a failure, it keeps the input."""

import random
from pathlib import Path

import pytest
from fuzz import fuzz_message, run


def test_the_same_seed_gives_the_same_inputs() -> None:
    first, second = (run.Mutator([b"A: b\r\n\r\nbody", b"other"], random.Random(7)) for _ in range(2))
    inputs = [first.next() for _ in range(200)]
    assert inputs == [second.next() for _ in range(200)]
    assert len(set(inputs)) > 150
    assert all(len(each) <= run.LONGEST for each in inputs)


def test_a_failure_is_kept_and_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def fails(data: bytes) -> None:
        assert b"\r" not in data

    monkeypatch.setattr(run, "CRASHES", tmp_path / "crashes")
    monkeypatch.setattr(fuzz_message, "target", fails)
    assert run.main(["message", "--seconds", "5", "--seed", "1"]) == 1
    [kept] = (tmp_path / "crashes").iterdir()
    assert b"\r" in kept.read_bytes()
    assert "failed after 1 executions" in capsys.readouterr().out


def test_every_seed_runs_even_in_no_time(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fuzz_message, "SEEDS", [b"a", b"b"])
    assert run.main(["fuzz_message", "--seconds", "0"]) == 0
    assert "message: 2 executions" in capsys.readouterr().out


def test_an_unknown_target_is_bad_usage(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as usage:
        run.main(["nothing"])
    assert usage.value.code == 2
    assert "no such target: nothing" in capsys.readouterr().err
