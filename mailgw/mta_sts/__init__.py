"""MTA-STS: what domains publish about TLS towards their MX hosts (RFC 8461).

Takes: a domain, DNS as an interface, the domain's web server, a file of state. Gives: the Policy that holds towards
the domain, with where it comes from and what stands in the way of a newer one. May not: apply it (`delivery` does), or
judge how well it is made (`doctor` does).
"""
