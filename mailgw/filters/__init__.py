"""Filters: each looks at a transaction and states evidence.

Takes: a transaction with its message. Gives: Evidence. May not: reply, reject, weigh, or change the message;
what evidence is worth stands in etc/filters.toml and is weighed in `verdict`. One file for each filter.
"""
