"""Where mail says it comes from, and whether that is true: SPF, DKIM, DMARC, ARC.

Verdicts over octets and the port to the DNS (`wire.resolver`). Nothing here decides what becomes of a message: `delivery` does.
"""
