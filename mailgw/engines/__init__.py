"""Other engines: virus scanners, spam filters and milters that run beside us, as `filters` asks them.

Takes: a transaction with its message, and where the engine listens. Gives: what the engine answered, as a value.
May not: state evidence, weigh, or decide what becomes of the message when an engine is down; `filters` does the first,
etc says the rest.

How the pieces lie: `clamd`, `rspamd`, `spamc` and `milter_wire` are the protocols without I/O: what is sent, and a
reader of what comes back. `milter` tells a milter a message, step by step, over any `Stream`. `facts` is what each of
them is told beside the message. `address`, `connection` and `content` are the I/O: where an engine listens, a
connection to it, the message in pieces. `engine` puts them together: several addresses, each with its `breaker`.
"""
