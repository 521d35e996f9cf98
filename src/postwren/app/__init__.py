"""The composition root: the only room that knows every adapter.

settings   what the configuration says, in the words of those who keep it
services   what sessions are made of, a service a protocol
server     from start to end, with its chores
checking   a store's invariants, beside a running server
"""
