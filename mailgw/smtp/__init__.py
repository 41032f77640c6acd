"""The SMTP protocol, sans-IO: bytes in, events out; replies in, bytes out (RFC 5321).

Takes: bytes from a peer. Gives: events, and the bytes to send. May not: import twisted or anything of ours but
`mail`, decide about a message, or know a clock; time is its caller's.
"""
