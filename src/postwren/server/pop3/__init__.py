"""POP3: one session's fixed view of an INBOX, with a lock that starves nobody.

session         login, TLS, the end           transaction     what each command does to the maildrop
maildrop_view   numbers, marks, listings      body_reader     octets of messages, neighbours in one read
maildrop_lock   one session a maildrop        refusal         refusals as replies
"""

from postwren.server.pop3.maildrop_lock import MaildropLocks
from postwren.server.pop3.maildrop_view import MaildropCache
from postwren.server.pop3.session import Pop3Service, Pop3Session

__all__ = ["MaildropCache", "MaildropLocks", "Pop3Service", "Pop3Session"]
