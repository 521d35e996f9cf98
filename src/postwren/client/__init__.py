"""asyncio shells around the client cores: they say what a program wants said and wait for the answer; nothing is kept.

conversation   a link's session whose events are awaited, with back-pressure; how to be secure
smtp           submit one message
pop3           a device at its maildrop
imap           a device at its mailboxes
blocking       the same without asyncio in the caller's code
"""
