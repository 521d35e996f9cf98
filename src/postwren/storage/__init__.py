"""Adapters of the mailstore's port, with the same file names: `memory` is the reference, `embedded` keeps mail in a folder.

Only `app`, `testing` and tests import them.
"""
