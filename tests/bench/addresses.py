"""The addresses that all generators and servers of the benchmarks use."""

from __future__ import annotations

RECIPIENT = "rcpt@dest.test"
SENDER = "sender@load.test"
