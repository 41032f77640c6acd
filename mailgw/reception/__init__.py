"""Reception: the listeners and the session, from the first byte to the 250.

Takes: connections. Gives: entries to the queue, after senderauth, filters and verdict were asked. May not: know
delivery; `queue` stands between.
"""
