"""Mail in files: mbox, Maildir and single messages, read and written. No store, no protocol.

Files hold messages with LF; the store holds them with CRLF, as every mail protocol does. Reading turns a bare LF into
CRLF, writing turns CRLF into LF; no other octet changes.
"""
