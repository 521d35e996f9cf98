"""POP3 without I/O, both roles: RFC 1939 (without APOP), 2449, 2595, 5034, 6856.

command      what a client says            reply, body, capability      what a server says
state        who may say what when         limits                       how much of it
server       ServerConnection              client                       ClientConnection
"""
