"""The queue: everything that was accepted stands here until its last recipient is settled.

Takes: a message with its deliveries, from reception (or a report, from delivery). Gives: due deliveries to the
agents, and settles what they make of them. 250 follows `QueueStore.put`, never goes before it. May not: know who
receives or how an agent works; it sees both as interfaces.
"""
