"""The fuzz target of SASL runs on its seeds, cut and changed a little: the long run is `make fuzz`."""

from fuzz.fuzz_sasl import SEEDS, target
from hypothesis import given
from hypothesis import strategies as st


@given(st.sampled_from(SEEDS), st.integers(0, 200), st.binary(max_size=4), st.integers(0, 4))
def test_the_fuzz_target_holds_near_its_seeds(seed: bytes, at: int, insert: bytes, drop: int) -> None:
    target(seed)
    target(seed[:at] + insert + seed[at + drop :])
