"""HTTPS as a client: what others have us get or post, over certificates that are checked and within bounds.

Takes: a URL, what to send, DNS as an interface. Gives: the answer, or in words why there is none. May not: follow
redirects, trust a certificate that does not name the host, or wait and read without end.
"""
