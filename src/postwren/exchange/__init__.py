"""Everything that speaks to other hosts on the server's behalf (docs/exchange.md).

policy      the port by which transport security towards a domain is decided: what outbound asks
mtasts      what a domain publishes about TLS at its hosts, fetched and kept
web         documents of strangers by HTTPS
"""
