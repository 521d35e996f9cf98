"""IMAP (RFC 9051, 3501 and their extensions), without I/O, in both roles.

    octets -> fragment (lines and literals, bounded) -> command/ (grammar) -> server (state, what is owed)
    octets -> fragment -> response/ (grammar) -> client

limits, primitive, numset, mailboxname, flag, code, capability   the parts that commands and responses share
command/, response/   a file each: dataclass, parser, formatter
event                 what the server side tells: commands, message literals, the peer's faults
state                 which command is allowed where
view                  a session's own numbering of a mailbox
quirk                 what other servers say that the grammar does not know, by name
"""
