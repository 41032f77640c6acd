"""Sender authentication: who really sent this.

Takes: the client's address, HELO, the reverse-path, the message; DNS as an interface. Gives: AuthResult and
Evidence. May not: decide anything, or block: pyspf and dkimpy are fed from tables (design 5).

DMARC comes last: it takes the results of SPF and DKIM (`author`, `dmarc_record`, `tree_walk`, `dmarc`, and what it
says in `dmarc_findings`).
"""
