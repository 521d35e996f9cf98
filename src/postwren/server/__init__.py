"""Behaviour behind a connection: a session a protocol, standing on the same mailstore services and the same logins.

smtp/    reception by SMTP and LMTP      pop3/    one session's fixed maildrop      login/   who is this?
"""
