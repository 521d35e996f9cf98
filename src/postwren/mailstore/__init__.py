"""The centre: accounts, mailboxes and what happens to messages, in the mailbox's own words.

No tags, sequence numbers, response codes, maildrop numbers or SQL in here. `model` holds the rows, `port` what a
storage adapter must offer, `service/` what can be done (each a unit of work over the port), `errors` the refusals,
`invariant` what must be true of every store at any time.
"""
