"""The device: a faithful copy of an account that lives on another server (docs/sync.md).

settings, secret, discover     what the account is, and how to get in
pop3                           the one-way road, exactly once
remote  ->  plan  <-  replica  two ways: what each side says, and the hunks that follow
          apply                carries them out, one after the other
report                         what a run tells, as it goes
"""
