"""The doctor: what the world finds in DNS about us, against what the configuration says.

Takes: a Site (our names, addresses, certificate, keys), DNS as an interface. Gives: Findings: the fact, how bad it is,
and what to do, with the record to publish. May not: change anything, or ask anybody but DNS and, for MTA-STS, our own
web server.
"""
