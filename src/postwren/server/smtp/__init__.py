"""Reception of mail for the accounts of this server, by SMTP and by LMTP.

session     one connection: commands in, replies out      refusal    what the store and the login refuse, as replies
reception   one message on its way into the store         settings   what an installation decides
"""
