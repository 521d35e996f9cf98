"""HTTP/1 for small documents: a client of one request and one answer, and a strict server of GET and HEAD (RFC 9110, 9112)."""
