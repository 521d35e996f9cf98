"""Configuration: one frozen schema, one loader (TOML, then environment), one generated example.

Every option has a safe default: a server needs no file to run.
"""
