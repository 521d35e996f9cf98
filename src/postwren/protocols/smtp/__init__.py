"""SMTP and LMTP, both roles, sans-IO.

    path, params -> command \\                       / server: ServerConnection
                    reply    }-> state (tables) ---{
    data (octets), limits   /                       \\ client: ClientConnection

`lmtp` is a variant of the same cores: its own hello, one reply a recipient.
"""
