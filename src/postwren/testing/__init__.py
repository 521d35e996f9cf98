"""Shipped to users: mail servers as test fixtures, dialogues, an in-memory link, a clock that stands still.

script.py     dialogues one can read aloud, played whole, byte by byte and cut at random
loopback.py   a link in memory: a session without a socket
"""
