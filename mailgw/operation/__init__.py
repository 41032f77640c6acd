"""Operation: what the running process needs: threads, logs, TLS contexts, ordered start and stop.

Takes: configuration. Gives: services and helpers to `tap`. May not: know what a message is.
"""
