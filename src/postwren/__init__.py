"""Postwren: a mail server and a mail client in one package.

    terms < wire < message < protocols        the protocols are pure
            message < mailstore < storage     the mailbox is the centre
            wire < transport                  the edges are thin
    all of these < server, client < app, cli

ARCHITECTURE.md is the map.
"""

__version__ = "0.1.0"
