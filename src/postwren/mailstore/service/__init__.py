"""What can be done with mail. A change is a plain function that returns a unit of work for `Store.perform`; a look-up
takes a `Reader`.

accounts      logins, credentials, addresses that reach an account
deliver       the hot path: one message into one or more accounts
append        messages with their flags and dates: IMAP's APPEND, imports
flags         add, remove, replace
copymove      copy and move between mailboxes of an account
expunge       destroy entries; they stay recoverable for a term
undelete      bring them back
mailboxes     create, delete, rename, subscribe
changes       what happened since a ModSeq
maildrop      POP3's fixed view of INBOX
housekeeping  what ends with time
placement     entries into a mailbox and out of it: what the others consist of
mailboxname, uidrange, lookup   names, sets of UIDs, rows to start from

All numbers are handed out here, from the account's row: a unit that changes messages takes the account's next ModSeq,
gives it to everything it touches and records a `Change` under it. Adapters only keep rows.
"""
