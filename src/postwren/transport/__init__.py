"""asyncio and nothing of mail: one link drives one core for one session.

    socket <-> Link [TLS inside] <-> core <-> session

`session.py` is the contract between the link and a behaviour; `link.py` implements it on an event loop,
`postwren.testing` implements it in memory.
"""
