"""Fuzz targets: each `fuzz_*.py` has `target(data)` and `SEEDS`; `python -m fuzz.run` mutates and runs them."""
