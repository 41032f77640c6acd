"""[sites] and priorities in a running gateway."""

from __future__ import annotations

from mailgw.develop.sink import Manners
from mailgw.mail.reply import Reply
from tests.integration.world import GatewayTestCase, in_thread, send

MESSAGE = b"From: alice@example.test\r\nSubject: x\r\n\r\nbody\r\n"
LATER = Reply.of(450, "4.2.0", "come back later")


class SiteRuleTests(GatewayTestCase):
    async def test_the_tries_and_the_lifetime_of_its_own(self) -> None:
        """By [queue] the second try would come after five minutes, and the end after five days."""
        await self.make_world(Manners(recipients={"x@outside.test": LATER}))
        rule = '[sites."route:sink"]\nretry = [0.5]\nlifetime = 2.0\n'
        gateway = await self.start_gateway(
            relay="route:sink", more=f'[routes.sink]\nhosts = ["127.0.0.1:{self.sink_port}"]\n{rule}'
        )
        port = gateway.ports["submission"]
        await in_thread(lambda: send(port, "alice@example.test", ["x@outside.test"], MESSAGE, tls=True))
        failed = await gateway.wait_for(event="failed", recipient="x@outside.test")
        self.assertGreaterEqual(failed["attempts"], 3)
        self.assertIn("come back later", failed["reason"])
