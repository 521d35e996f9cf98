"""Whatever an ACME server says, a client ends with AcmeFailed, in bounded requests, and its reason is one clean line."""

import asyncio

from cryptography.hazmat.primitives.asymmetric import ec

from postwren.exchange.acme import AcmeAuthority, AcmeFailed, Limits
from postwren.exchange.certificates import HttpProver
from postwren.exchange.jose import AccountKey
from postwren.protocols.http.client import Get, Post, Responded

ACCOUNT, KEY = AccountKey.generate(), ec.generate_private_key(ec.SECP256R1())
BASE = "https://acme.example"
PLACES = f'{{"newNonce":"{BASE}/n","newAccount":"{BASE}/a","newOrder":"{BASE}/o"}}'.encode()
FIELDS = {"replay-nonce": "n", "location": f"{BASE}/x", "content-type": "application/problem+json"}


class Web:
    """Says the lines of the input one after the other, the last for ever; the directory is good."""

    def __init__(self, data: bytes) -> None:
        self.lines = [PLACES, b"{}", b"{}", *data.split(b"\n")]
        self.asked = 0

    async def ask(self, request: Get | Post, port: int = 0) -> Responded:
        line = self.lines[min(self.asked, len(self.lines) - 1)]
        self.asked += 1
        return Responded(400 if line.startswith(b"!") else 200, FIELDS, line.removeprefix(b"!"))


async def no_sleep(seconds: float) -> None:
    assert 0 <= seconds <= 30


def target(data: bytes) -> None:
    web = Web(data)
    authority = AcmeAuthority(web, f"{BASE}/directory", ACCOUNT, "", Limits(polls=3), no_sleep)
    try:
        asyncio.run(authority.obtain(["mx.example.org"], KEY, HttpProver({})))
    except AcmeFailed as error:
        why = str(error)
    else:
        raise AssertionError("a certificate out of nothing")
    assert web.asked < 60
    assert why.isprintable() or "makes no sense" in why


SEEDS: list[bytes] = [
    f'{{"status":"pending","authorizations":["{BASE}/z"],"finalize":"{BASE}/f"}}\n'.encode()
    + b'{"status":"pending","identifier":{"value":"mx.example.org"},"challenges":'
    + f'[{{"type":"http-01","url":"{BASE}/c","token":"t"}}]}}\n{{}}\n{{"status":"valid"}}\n{{"status":"ready"}}\n'.encode()
    + f'{{}}\n{{"status":"valid","certificate":"{BASE}/k"}}\n-----BEGIN CERTIFICATE-----'.encode(),
    b'!{"type":"urn:ietf:params:acme:error:badNonce"}\n{"status":"invalid","error":{"detail":"\\u001b[2J"}}',
    b'{"authorizations":' + b"[" * 3000,
]
