"""Ways out of a running gateway by recipient, reverse-path and user: each route leads to a sink of its own."""

from __future__ import annotations

from functools import partial

from mailgw.develop.sink import Sink
from tests.integration.gateway import Gateway
from tests.integration.world import GatewayTestCase, in_thread, reactor, send

MESSAGE = "From: {0}\r\nMessage-ID: <m{1}@example.test>\r\nSubject: x\r\n\r\nbody\r\n"
RULES = """
[relay.rules.partner]
recipients = ["partner.test"]
via = "route:partner"

[relay.rules.forwarded]
recipients = ["*.club.test"]
senders = ["example.test"]
via = "route:partner"

[relay.rules.bob]
users = ["bob@example.test"]
via = "route:people"

[routes.partner]
hosts = ["127.0.0.1:{partner}"]
[routes.people]
hosts = ["127.0.0.1:{people}"]
"""


class RulesTests(GatewayTestCase):
    async def start(self) -> Gateway:
        await self.make_world()
        self.partner, self.people = Sink(reactor), Sink(reactor)
        ports = {"partner": self.partner.start(), "people": self.people.start()}
        for sink in (self.partner, self.people):
            self.addCleanup(self.coroutine, sink.stop)
        aliases = "member@example.test: carol@chess.club.test\n"
        return await self.start_gateway({"aliases": aliases}, more=RULES.format(**ports))

    async def test_each_recipient_goes_its_way(self) -> None:
        gateway = await self.start()
        port, recipients = gateway.ports["submission"], ["a@partner.test", "b@outside.test"]
        for number, user in enumerate(("alice@example.test", "bob@example.test")):
            message = MESSAGE.format(user, number).encode()
            await in_thread(partial(send, tls=True, user=user), port, user, recipients, message)
        await self.until(lambda: [len(sink.received) for sink in (self.partner, self.sink, self.people)] == [2, 1, 1])
        self.assertEqual([str(to) for to in self.people.received[0].recipients], ["b@outside.test"])

    async def test_what_an_alias_forwards_counts_under_its_return_path(self) -> None:
        gateway = await self.start()
        message = self.signed("From: ann@sender.test\nMessage-ID: <f@sender.test>\nSubject: x\n\nbody\n")
        await in_thread(lambda: send(gateway.ports["mx"], "ann@sender.test", ["member@example.test"], message))
        await self.until(lambda: len(self.partner.received) == 1)
        self.assertTrue(str(self.partner.received[0].reverse_path).startswith("SRS0="))
