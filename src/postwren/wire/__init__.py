"""What every sans-IO core shares: the contract, the receive buffer, errors, secrets. Standard library only.

    bytes from the peer -> core.receive_data() -> core.next_event() -> the session judges
    session -> core.send() -> core.data_to_send() -> bytes to the peer

Nothing here, in `message` or in `protocols` awaits, reads a clock, draws randomness or looks at the environment.
"""
