"""DKIM (RFC 6376, with RFC 8301, RFC 8463 and RFC 8616): own signatures put on, others' verified while the octets come by.

    tags        tag=value lists, of signatures and of key records
    canonical   header fields and bodies in the form that is hashed; bodies in pieces
    key         key records in the DNS, and the keys we sign with
    signature   DKIM-Signature fields, read
    sign        ... and written
    verify      a message is fed as it comes; its signatures are judged at its end

`mailauth.arc` stands on the same pieces. docs/adr/0014-own-dkim.md says why this is no library.
"""

from postwren.mailauth.dkim.canonical import BodyHash, Canonical
from postwren.mailauth.dkim.key import Algorithm, SigningKey, generate_key, load_signing_key
from postwren.mailauth.dkim.limits import LIMITS, Limits
from postwren.mailauth.dkim.sign import sign
from postwren.mailauth.dkim.verify import DkimResult, Verifier

__all__ = [
    "LIMITS",
    "Algorithm",
    "BodyHash",
    "Canonical",
    "DkimResult",
    "Limits",
    "SigningKey",
    "Verifier",
    "generate_key",
    "load_signing_key",
    "sign",
]
