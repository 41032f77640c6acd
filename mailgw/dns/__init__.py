"""DNS: questions, answers, and the one resolver that asks them without blocking.

Takes: names and record types. Gives: an Answer, or `DnsFailure` for what is temporary (RFC 5321 5.1 and RFC 7208 2.6.6
want 'no such record' and 'could not find out' told apart). May not: know what the answers are for.
"""
