"""asyncio and nothing of mail: one link drives one core for one session.

socket <-> Link [TLS inside] <-> core <-> session

session       the contract between the link and a behaviour (`postwren.testing` implements it in memory)
link          the pump; outflow: what it writes; deadline: how long a peer may owe us something
tls           TLS on octets, in both roles; clienthello: what a client asks for; certificate
listener      places that accept; limit: who may come in; dial: the calling side
"""
