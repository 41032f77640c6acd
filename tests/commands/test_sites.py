"""`--site` of the queue's commands."""

from __future__ import annotations

from twisted.internet import reactor
from twisted.trial.unittest import SynchronousTestCase, TestCase

from mailgw.commands import sites
from mailgw.commands.sites import share_site
from mailgw.queue.item import Destination
from mailgw.queue.sqlite import SqliteStore
from tests.commands.files import CommandTest
from tests.queue.items import entry

_HOSTS = {
    "one.example": ("mx1.provider.example", "mx2.provider.example"),
    "two.example": ("mx2.provider.example", "mx1.provider.example"),
    "part.example": ("mx1.provider.example",),
    "other.example": ("mx.other.example",),
    "silent.example": (),
    "mute.example": (),
}


class ShareTests(SynchronousTestCase):
    def assert_shares(self, asked: str, *domains: str) -> None:
        self.assertEqual(share_site(asked, _HOSTS, _HOSTS), frozenset(domains))

    def test_a_domain_has_all_that_share_its_hosts(self) -> None:
        self.assert_shares("one.example", "one.example", "two.example")

    def test_a_host_has_all_that_it_serves(self) -> None:
        self.assert_shares("mx1.provider.example", "one.example", "two.example", "part.example")

    def test_the_name_in_the_log(self) -> None:
        self.assert_shares("mx1.provider.example,mx2.provider.example", "one.example", "two.example")

    def test_a_domain_without_hosts_is_alone(self) -> None:
        self.assert_shares("silent.example", "silent.example")
        self.assert_shares("unknown.example")


class QueueTests(CommandTest, TestCase):
    async def put(self, *names: str) -> None:
        (self.folder / "state").mkdir()
        store = SqliteStore(self.folder / "state" / "queue", reactor, inline_size=1000, minimum_free=0, clock=reactor)
        await store.open()
        for number, name in enumerate(names):
            await store.put(entry(f"01ABCDEFGH{number:06}", (Destination.parse(name),)))
        await store.close()

    async def test_reports_on_tls_belong_to_the_site_that_they_go_to(self) -> None:
        names = ("relay:mx:one.example", "relay:mx-any-tls:two.example", "relay:mx-any-tls:other.example")
        await self.put(*names)
        self.patch(sites, "_ask", lambda settings, domains: _HOSTS)
        lines = self.json_lines("queue", "list", "--site", "one.example", "--json")
        self.assertEqual([line["deliveries"][0]["destination"] for line in lines], list(names[:2]))

    async def test_a_route_needs_no_dns(self) -> None:
        names = ("relay:route:smart", "forward:route:smart", "quarantine:relay:route:smart", "relay:route:other")
        await self.put(*names)
        lines = self.json_lines("queue", "list", "--site", "route:smart", "--json")
        self.assertEqual([line["deliveries"][0]["destination"] for line in lines], list(names[:3]))
        # What is held is not flushed.
        self.assertIn(
            "2 deliveries of 2 messages would be",
            self.run_command("queue", "flush", "--site", "route:smart", "--dry-run").stdout,
        )
        self.assertEqual(self.json_lines("queue", "list", "--site", "route:none", "--json"), [])
