"""Sans-IO protocol cores, both roles: server and client side of a protocol import the same grammar.

pop3/  the smallest whole one: read it first      smtp/  SMTP, and LMTP as a variant      sasl/  what both use
"""
