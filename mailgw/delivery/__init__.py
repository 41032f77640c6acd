"""Delivery: from the queue to a folder or to the next hop.

Takes: a queued message and some of its deliveries, all to one destination. Gives: an Outcome for each, as a value;
remote facts are never exceptions. May not: know reception, write the queue (the scheduler settles), or change the
content: only the prefix and, at final delivery, Return-Path stand before it; but text is made 7-bit for a host that
takes nothing else. `tls/` says what a next hop has to prove, `dkim/` makes our signatures. Over the same connections
`callahead` asks next hops about recipients: it is routing's RecipientVerifier.
"""
