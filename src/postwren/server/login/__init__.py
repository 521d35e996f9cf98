"""Logins: what every protocol's session asks, "who is this?".

authenticator   the one door: passwords and SASL exchanges, judged by policy, throttle and store
credential      what is stored of a password, and how one is verified
gate            two hashes at once, a bounded queue, no more (A-62)
cache           a password that was right a moment ago need not be hashed again
throttle        failed logins slow down the addresses and names they came with (A-60)
name            the one place where a login name becomes canonical
outcome policy  how it ends; what an installation decides
"""

from postwren.server.login.authenticator import Authenticator, LoginExchange
from postwren.server.login.credential import PasswordUnusable, make_credentials
from postwren.server.login.outcome import Accepted, Challenge, LoginStep, RefusalReason, Refused
from postwren.server.login.policy import LoginPolicy

__all__ = [
    "Accepted",
    "Authenticator",
    "Challenge",
    "LoginExchange",
    "LoginPolicy",
    "LoginStep",
    "PasswordUnusable",
    "RefusalReason",
    "Refused",
    "make_credentials",
]
