"""Everything that speaks to other hosts on the server's behalf (docs/exchange.md).

home        recipients in the queue that live here
outbound    the engine: what is due leaves the queue      limits      what it asks of others, and of this machine
road        from a domain's name to a connection          pool        connections that stand a few seconds
connection  one connection to one host                    envelope    what a message needs, and what a host offers
setup, service   from the configuration to all of these, and from the start of a server to its end
policy      the port by which transport security towards a domain is decided: what outbound asks
mtasts      what a domain publishes about TLS at its hosts, fetched and kept
web         documents of strangers by HTTPS
"""
