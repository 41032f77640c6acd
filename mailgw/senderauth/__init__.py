"""Sender authentication: who really sent this.

Takes: the client's address, HELO, the reverse-path, the message; DNS as an interface. Gives: AuthResult and
Evidence. May not: decide anything, or block: pyspf and dkimpy are fed from tables (design 5).
"""
