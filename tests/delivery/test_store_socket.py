"""LMTP over sockets of this host: what stands in the way, in words that say what to do."""

from __future__ import annotations

import os
import random
import shutil
import socket
import tempfile
from pathlib import Path
from typing import Any

from twisted.internet import reactor as installed_reactor
from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from mailgw.config import schema
from mailgw.delivery.relay import RelayAgent
from mailgw.delivery.sessions import Sessions
from mailgw.operation.threads import ThreadsInline
from mailgw.queue.item import Delayed
from tests.delivery.peers import deliveries, queued
from tests.fakes import FakeResolver

reactor: Any = installed_reactor
NOBODY = 65534


class StoreSocketTests(TestCase):
    timeout = 20

    def setUp(self) -> None:
        # trial's folder may be too long for the name of a socket.
        self.path = Path(tempfile.mkdtemp(prefix="mailgw-socket-")) / "lmtp"
        self.addCleanup(shutil.rmtree, self.path.parent)

    def listen(self, kind: int = socket.SOCK_STREAM) -> socket.socket:
        listening = socket.socket(socket.AF_UNIX, kind)
        self.addCleanup(listening.close)
        listening.bind(str(self.path))
        return listening

    async def outcome(self) -> Delayed:
        routes = {"store": schema.Route(hosts=(f"unix:{self.path}",), protocol="lmtp")}
        threads = ThreadsInline()
        sessions = Sessions(
            reactor, FakeResolver(), schema.Relay(), routes, "gw.example.org", threads, random.Random(1)
        )
        agent = RelayAgent(sessions, threads)
        self.addCleanup(lambda: Deferred.fromCoroutine(agent.close()))
        (outcome,) = await agent.deliver(queued(), deliveries("route:store"))
        assert isinstance(outcome, Delayed)
        self.assertEqual((outcome.status, outcome.site_wide), ("4.4.1", True))
        self.assertTrue(outcome.reason.startswith(f"no connection to unix:{self.path}: "), outcome.reason)
        return outcome

    async def test_none_is_there(self) -> None:
        reason = (await self.outcome()).reason
        self.assertIn(
            "No such file or directory; nobody listens there: start the mail store, or correct `hosts`", reason
        )

    async def test_one_that_was_left(self) -> None:
        self.listen().close()
        self.assertIn("Connection refused; nobody listens there", (await self.outcome()).reason)

    async def test_one_of_another_kind(self) -> None:
        self.listen(socket.SOCK_DGRAM)
        self.assertIn("it is a socket of another kind", (await self.outcome()).reason)

    async def test_a_store_that_takes_no_more_connections_now(self) -> None:
        """Linux does not let connect(2) wait: the reason was the text of a Failure."""
        self.listen().listen(0)
        with socket.socket(socket.AF_UNIX) as first:
            first.connect(str(self.path))
            self.assertIn("it takes no more connections now", (await self.outcome()).reason)

    async def test_one_that_we_may_not_write_to(self) -> None:
        if os.geteuid() != 0:
            self.skipTest("only root can become somebody else")
        self.listen().listen()
        self.path.parent.chmod(0o755)
        self.path.chmod(0o600)
        os.seteuid(NOBODY)
        try:
            reason = (await self.outcome()).reason
        finally:
            os.seteuid(0)
        self.assertIn(
            f"Permission denied; `user` of mailgw.toml (uid {NOBODY}) has to be allowed to write to it and to enter "
            "the folders above it: in Dovecot by `user` and `mode` of its unix_listener",
            reason,
        )
