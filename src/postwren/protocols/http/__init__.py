"""HTTP/1 as a client needs it to fetch a small document: one request, one answer, one connection (RFC 9110, 9112)."""
