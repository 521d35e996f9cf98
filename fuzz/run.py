"""Runs the fuzz targets: `python -m fuzz.run [TARGET ...] --seconds N [--seed S]`.

Each `fuzz_*.py` of this folder has `target(data: bytes) -> None`, whose failure is any exception, and `SEEDS`: byte strings or a
function that yields them. Inputs are seeds mutated by a small mutator; what fails is written to fuzz/crashes/, and the exit code
is 1.
`python -m fuzz.run TARGET --replay FILE` runs one input again.
"""

import argparse
import hashlib
import importlib
import random
import re
import sys
import time
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from types import ModuleType

HERE = Path(__file__).parent
CRASHES = HERE / "crashes"
LONGEST = 64 << 10
SLOW = 5.0  # seconds of one execution: that is a failure too
_WORD = re.compile(rb"[A-Za-z0-9_-]{2,20}|[^A-Za-z0-9\s]{1,3}|\r?\n")
ODD = (
    b"\0",
    b"\r",
    b"\n",
    b"\r\n",
    b"\r\n.\r\n",
    b"\xff",
    b"\xc3\xa4",
    b'"',
    b"\\",
    b"(",
    b")",
    b"{9}\r\n",
    b"{99999999999}\r\n",
    b" " * 100,
    b"-1",
    b"",
)


def seeds_of(module: ModuleType) -> list[bytes]:
    seeds = module.SEEDS
    return list(seeds() if callable(seeds) else seeds) or [b""]


def dictionary(seeds: Iterable[bytes]) -> list[bytes]:
    """The words of the seeds: tokens of the grammar without anybody writing them down."""
    words: dict[bytes, None] = {}
    for seed in seeds:
        words.update(dict.fromkeys(_WORD.findall(seed[:4096])))
        if len(words) > 4000:
            break
    return [*words, *ODD]


class Mutator:
    """Flips, splices, words, truncation and repetition, one to eight of them an input."""

    def __init__(self, seeds: list[bytes], chance: random.Random) -> None:
        self.seeds = seeds
        self.words = dictionary(seeds)
        self.chance = chance
        self.moves: tuple[Callable[[bytes, int], bytes], ...] = (
            self.flip,
            self.word,
            self.word,
            self.splice,
            self.truncate,
            self.repeat,
            self.drop,
        )

    def next(self) -> bytes:
        data = self.chance.choice(self.seeds)
        for _ in range(self.chance.randint(1, 8)):
            data = self.chance.choice(self.moves)(data, self.chance.randint(0, len(data)))
        return data[:LONGEST]

    def flip(self, data: bytes, at: int) -> bytes:
        return data[:at] + bytes([data[at] ^ (1 << self.chance.randrange(8))]) + data[at + 1 :] if at < len(data) else data

    def word(self, data: bytes, at: int) -> bytes:
        over = self.chance.choice((0, 0, 1, 4))
        return data[:at] + self.chance.choice(self.words) + data[at + over :]

    def splice(self, data: bytes, at: int) -> bytes:
        other = self.chance.choice(self.seeds)
        return data[:at] + other[self.chance.randint(0, len(other)) :]

    def truncate(self, data: bytes, at: int) -> bytes:
        return data[:at]

    def drop(self, data: bytes, at: int) -> bytes:
        return data[:at] + data[at + self.chance.randint(1, 64) :]

    def repeat(self, data: bytes, at: int) -> bytes:
        piece = data[at : at + self.chance.randint(1, 200)]
        return data[:at] + piece * self.chance.choice((2, 3, 10, 100)) + data[at:]


def execute(target: Callable[[bytes], None], data: bytes) -> str | None:
    """None, or what went wrong."""
    start = time.perf_counter()
    try:
        target(data)
    except Exception:
        return traceback.format_exc()
    seconds = time.perf_counter() - start
    return f"took {seconds:.1f} s" if seconds > SLOW else None


def fuzz(name: str, seconds: float, seed: int) -> bool:
    """Run one target for so long, its seeds first; whether nothing failed."""
    module = importlib.import_module(f"fuzz.fuzz_{name}")
    seeds = seeds_of(module)
    mutator = Mutator(seeds, random.Random(seed))  # the same seed gives the same inputs
    start = time.perf_counter()
    done = 0
    while (elapsed := time.perf_counter() - start) < seconds or done < len(seeds):
        data = seeds[done] if done < len(seeds) else mutator.next()
        done += 1
        if fault := execute(module.target, data):
            CRASHES.mkdir(exist_ok=True)
            path = CRASHES / f"{name}-{hashlib.sha256(data).hexdigest()[:16]}"
            path.write_bytes(data)
            print(f"{name}: failed after {done} executions, input in {path}\n{fault}", flush=True)
            return False
    print(f"{name}: {done} executions, {done / elapsed:.0f} a second, no failure", flush=True)
    return True


def main(arguments: list[str] | None = None) -> int:
    known = sorted(path.stem.removeprefix("fuzz_") for path in HERE.glob("fuzz_*.py"))
    parser = argparse.ArgumentParser(prog="python -m fuzz.run", description="Run the fuzz targets.")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"some of: {', '.join(known)} (default: all)")
    parser.add_argument("--seconds", type=float, default=10.0, help="for each target")
    parser.add_argument("--seed", type=int, default=None, help="of the mutator (default: from the clock, printed)")
    parser.add_argument("--replay", type=Path, default=None, help="run one input of one target again")
    options = parser.parse_args(arguments)
    names = [name.removeprefix("fuzz_") for name in options.targets] or known
    if unknown := set(names) - set(known):
        parser.error(f"no such target: {', '.join(sorted(unknown))}")
    if options.replay:
        importlib.import_module(f"fuzz.fuzz_{names[0]}").target(options.replay.read_bytes())
        return 0
    seed = int(time.time()) if options.seed is None else options.seed
    print(f"seed {seed}", flush=True)
    return 1 if [name for name in names if not fuzz(name, options.seconds, seed)] else 0


if __name__ == "__main__":
    sys.exit(main())
