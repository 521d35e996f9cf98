"""The fuzz target of SASL runs on its seeds, cut and changed a little: the long run is `make fuzz`."""

import importlib.util
from collections.abc import Callable
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

SPEC = importlib.util.spec_from_file_location("fuzz_sasl", Path(__file__).parents[4] / "fuzz" / "fuzz_sasl.py")
assert SPEC is not None
assert SPEC.loader is not None
FUZZ = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(FUZZ)
target: Callable[[bytes], None] = FUZZ.target
SEEDS: list[bytes] = FUZZ.SEEDS


@given(st.sampled_from(SEEDS), st.integers(0, 200), st.binary(max_size=4), st.integers(0, 4))
def test_the_fuzz_target_holds_near_its_seeds(seed: bytes, at: int, insert: bytes, drop: int) -> None:
    target(seed)
    target(seed[:at] + insert + seed[at + drop :])
