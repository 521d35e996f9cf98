"""The result words that all methods share (RFC 8601 section 2.7). Each method uses some of them."""

import enum

__all__ = ["Verdict"]


class Verdict(enum.Enum):
    """What a method found; the value is the word of Authentication-Results."""

    NONE = "none"
    PASS = "pass"  # noqa: S105  # a verdict, no password
    FAIL = "fail"
    SOFTFAIL = "softfail"
    NEUTRAL = "neutral"
    POLICY = "policy"
    TEMPERROR = "temperror"
    PERMERROR = "permerror"
