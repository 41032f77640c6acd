"""TLS towards next hops: which is wanted (DANE, MTA-STS, [tls_policies], the message itself), and what a host shows.

`choice` says how the MX hosts of a domain are to be spoken to, `tlsa_lookup` and `dane` what a host's own records add,
`client` makes the handshake's side of it, `results` tells what came of it (RFC 8460).
"""
