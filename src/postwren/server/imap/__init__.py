"""IMAP on the server: a session behind each connection.

session      what every command needs: state, sending, the end
commands     the table: which file handles what
  login select fetch store copy append search      the families, a handler a command
  place        a mailbox name: whose it is, and what one may do there
selected     the selected mailbox: the session's numbering, and what is still to be told
rendering, section, large, flagtext      FETCH responses in bulk
refusal      what the mailstore refuses, in IMAP's words
capability   what we can, and which handlers that needs
"""

from postwren.server.imap.commands import TABLE
from postwren.server.imap.session import ImapService, ImapSession
from postwren.server.imap.settings import ImapSettings

__all__ = ["TABLE", "ImapService", "ImapSession", "ImapSettings"]
