"""A gateway for test_power_cut: its queue's log is written back and erased often, so that little load shows it all."""

from __future__ import annotations

from twisted.scripts import twistd

from mailgw.queue import schema
from mailgw.queue.sqlite import SqliteStore

CHECKPOINT_PAGES = 100
ERASE_AFTER = 0.1


def run() -> None:
    schema._CHECKPOINT_PAGES = CHECKPOINT_PAGES
    SqliteStore.__init__.__kwdefaults__["erase_after"] = ERASE_AFTER
    twistd.run()
