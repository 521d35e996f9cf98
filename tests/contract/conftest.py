"""Asserts of the shipped contracts are rewritten like those of our own tests."""

import pytest

pytest.register_assert_rewrite("postwren.testing.contract")
