"""Counterparts for development and tests: a DNS server that answers for the world, and a sink for outside mail.

Takes: a folder. Gives: a gateway to try on loopback, with nothing of it reaching the Internet. May not: be imported
by the gateway itself.
"""
