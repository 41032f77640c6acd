"""`mailgw queue` with what it needs around it: DNS, a running gateway."""

from __future__ import annotations

import json
from functools import partial

from mailgw.develop.sink import Manners
from mailgw.mail.reply import Reply
from mailgw.queue.item import Destination
from mailgw.queue.sqlite import SqliteStore
from tests.integration.gateway import Gateway
from tests.integration.mailgw_command import run_mailgw
from tests.integration.world import GatewayTestCase, in_thread, reactor, send
from tests.queue.items import entry

_ZONE = {
    "one.test": {"MX": ["10 mx1.provider.test.", "20 mx2.provider.test."]},
    "two.test": {"MX": ["10 mx2.provider.test.", "10 MX1.provider.test."]},
    "part.test": {"MX": ["10 mx1.provider.test."]},
}


class SiteTests(GatewayTestCase):
    async def test_domains_that_share_mx_hosts(self) -> None:
        await self.make_world(zone=_ZONE)
        gateway = Gateway(self.mktemp(), dns=self.dns_port)
        gateway.write_configuration()
        store = SqliteStore(gateway.state / "queue", reactor, inline_size=1000, minimum_free=0, clock=reactor)
        await store.open()
        domains = ("one", "two", "part", "nomail", "gone")
        for number, domain in enumerate(domains):
            await store.put(entry(f"01ABCDEFGH{number:06}", (Destination("relay", f"mx:{domain}.test"),)))
        await store.close()
        for site, chosen in (
            ("one.test", ["one", "two"]),
            ("MX1.provider.test", ["one", "two", "part"]),
            ("mx:mx1.provider.test,mx2.provider.test", ["one", "two"]),
            ("gone.test", ["gone"]),
        ):
            output = await in_thread(run_mailgw, gateway, "queue", "list", "--json", "--site", site)
            *lines, said = output.splitlines()
            found = [json.loads(line)["deliveries"][0]["destination"] for line in lines]
            self.assertEqual(found, [f"relay:mx:{domain}.test" for domain in chosen], site)
            self.assertIn("left out, without MX hosts now: ", said)
            self.assertIn("nomail.test", said)


class DeleteTests(GatewayTestCase):
    async def test_with_a_report_the_sender_hears_of_it(self) -> None:
        await self.make_world(Manners(replies={"mail": Reply(451, "4.3.0", ("not now",))}))
        gateway = await self.start_gateway(level="info")
        message = b"From: alice@example.test\r\nSubject: hello\r\n\r\nbody\r\n"
        port, recipients = gateway.ports["submission"], ["x@outside.test"]
        await in_thread(partial(send, port, "alice@example.test", recipients, message, tls=True))
        await gateway.wait_for(event="delayed")
        output = await in_thread(
            run_mailgw, gateway, "queue", "delete", "--recipient", recipients[0], "--report", "--yes"
        )
        self.assertIn("1 deliveries of 1 messages are deleted, with a report to the sender", output)
        await self.until(lambda: len(gateway.folder("alice")) == 1)
        (report,) = gateway.folder("alice")
        for text in (b"took the message out of the queue", b"Status: 5.7.1", b"x@outside.test", b"Subject: hello"):
            self.assertIn(text, report)
        failed = await gateway.wait_for(event="failed")
        self.assertIn("the postmaster of this server took it out", failed["reason"])
        output = await in_thread(run_mailgw, gateway, "queue", "list")
        self.assertIn("0 messages with 0 deliveries", output)
        self.assertEqual(self.sink.received, [])
