"""`mailgw queue --site` asks DNS which domains share MX hosts."""

from __future__ import annotations

import json

from mailgw.queue.item import Destination
from mailgw.queue.sqlite import SqliteStore
from tests.integration.gateway import Gateway
from tests.integration.mailgw_command import run_mailgw
from tests.integration.world import GatewayTestCase, in_thread, reactor
from tests.queue.items import entry

_ZONE = {
    "one.test": {"MX": ["10 mx1.provider.test.", "20 mx2.provider.test."]},
    "two.test": {"MX": ["10 mx2.provider.test.", "10 MX1.provider.test."]},
    "part.test": {"MX": ["10 mx1.provider.test."]},
}


class QueueSiteTests(GatewayTestCase):
    async def test_domains_of_a_site(self) -> None:
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
