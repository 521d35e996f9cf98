"""The command line: one file a command. A command parses, calls services, and reports; it decides nothing.

Exit codes: 0 done, 1 it ran and something is wrong (said on stderr), 2 bad usage.
"""
