"""Ways out of a running gateway by recipient, reverse-path and user: each route leads to a sink of its own."""

from __future__ import annotations

import json
import os
import re
import signal
from email import message_from_bytes
from functools import partial
from typing import Any

from attrs import evolve
from twisted.internet.defer import Deferred

from mailgw.develop.sink import Sink
from tests import postfix
from tests.integration.gateway import Gateway
from tests.integration.mailgw_command import run_mailgw
from tests.integration.peers import AWKWARD, BODY, PostfixTestCase, free_port
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


class DryLookTests(GatewayTestCase):
    async def look(self, *arguments: str, code: int = 0, more: str = "") -> str:
        gateway = Gateway(self.mktemp(), dns=self.dns_port, more=RULES.format(partner=2525, people=2526) + more)
        gateway.write_configuration()
        return str(await in_thread(partial(run_mailgw, code=code), gateway, "route", "--dns", *arguments))

    async def test_hosts_and_addresses_as_dns_has_them_now(self) -> None:
        await self.make_world(
            zone={
                "far.test": {"MX": ["20 b.far.test.", "10 a.far.test."]},
                "a.far.test": {"A": ["192.0.2.1"], "AAAA": ["2001:db8::1"]},
                "b.far.test": {},
            }
        )
        output = await self.look("--json", "x@far.test", "x@partner.test", "x@nomail.test", "alice@example.test")
        far, partner, nomail, ours = map(json.loads, output.splitlines())
        self.assertEqual(
            list(far["hosts"].items()),
            [
                ("a.far.test:25", ["192.0.2.1", "2001:db8::1"]),
                ("b.far.test:25", "the host b.far.test has no address"),
            ],
        )
        self.assertEqual(partner["hosts"], {"127.0.0.1:2525": ["127.0.0.1"]})
        self.assertEqual(nomail["problem"], "5.1.10 the domain nomail.test takes no mail (it has a null MX)")
        self.assertEqual((ours["hosts"], ours["problem"]), ([], ""))
        output = await self.look("x@far.test", "x@gone.test", "nobody@example.test", code=1)
        self.assertIn("a.far.test:25 192.0.2.1, 2001:db8::1", output)
        self.assertIn("5.1.2 the domain gone.test does not exist", output)
        self.assertIn("refused", output)

    async def test_how_each_host_would_be_spoken_to(self) -> None:
        await self.make_world(
            zone={
                "far.test": {"MX": ["10 a.far.test.", "20 b.far.test.", "30 c.far.test."]},
                **{f"{name}.far.test": {"A": ["192.0.2.1"]} for name in "abc"},
                "_25._tcp.a.far.test": {"TLSA": ["3 1 1 " + "ab" * 32]},
                "bank.test": {"A": ["192.0.2.2"]},
            }
        )
        self.dns.world = evolve(self.dns.world, authenticated=True, failing=["_25._tcp.b.far.test"])
        policy = '[tls_policies."bank.test"]\ntls = "verified"\n'
        output = await self.look("--json", "x@far.test", "x@bank.test", "x@partner.test", more=policy)
        far, bank, partner = map(json.loads, output.splitlines())
        self.assertIn("TLSA records (3 1 1 abab", far["tls"]["a.far.test:25"])
        self.assertIn("(DANE)", far["tls"]["a.far.test:25"])
        self.assertIn("DNS does not say now whether b.far.test wants TLS", far["hosts"]["b.far.test:25"])
        self.assertEqual(far["tls"]["c.far.test:25"], "TLS where it is offered")
        self.assertEqual(
            bank["tls"], {"bank.test:25": "TLS with a certificate for its name, which [tls_policies] demands"}
        )
        self.assertEqual(partner["tls"], {"127.0.0.1:2525": "TLS where it is offered"})
        self.assertIn("TLS where it is offered", await self.look("x@far.test"))


class ReloadTests(GatewayTestCase):
    async def reload(self, text: str) -> dict[str, Any]:
        seen = len(self.gateway.events)
        (self.gateway.etc / "mailgw.toml").write_text(text)
        os.kill(self.gateway.pid, signal.SIGHUP)
        await self.until(lambda: any(one.get("event") == "reloaded" for one in self.gateway.events[seen:]))
        return next(one for one in self.gateway.events[seen:] if one.get("event") == "reloaded")

    async def test_new_ways_hold_at_once_and_what_waits_for_a_route_follows_it(self) -> None:
        await self.make_world()
        other = Sink(reactor)
        port = other.start()
        self.addCleanup(self.coroutine, other.stop)
        gateway = await self.start_gateway(
            relay="route:smart",
            more=f'[routes.smart]\nhosts = ["127.0.0.1:{free_port()}"]\n[queue]\nretry = [2.0]\njitter = 0.0\n',
        )

        async def submit(recipient: str, number: int) -> None:
            message = MESSAGE.format("alice@example.test", number).encode()
            port = gateway.ports["submission"]
            await in_thread(partial(send, tls=True), port, "alice@example.test", [recipient], message)

        await submit("a@outside.test", 1)
        await gateway.wait_for(event="delayed")
        configuration = (gateway.etc / "mailgw.toml").read_text()
        first, rest = configuration.split("[routes.smart]")
        _, queue = rest.split("[queue]")
        ways = '[relay.rules.partner]\nrecipients = ["partner.test"]\nvia = "route:new"\n'
        ways += f'[routes.new]\nhosts = ["127.0.0.1:{port}"]\n'
        smart = f'[routes.smart]\nhosts = ["127.0.0.1:{self.sink_port}"]\n'
        event = await self.reload(f"{first}{ways}{smart}[queue]{queue}")
        self.assertEqual(event["waiting"], [])
        await submit("b@partner.test", 2)
        await self.until(lambda: (len(other.received), len(self.sink.received)) == (1, 1))


class LossTests(GatewayTestCase):
    COUNT = 60

    async def test_a_smarthost_that_goes_while_mail_flows_loses_none_of_it(self) -> None:
        """What was in flight at its end may come twice, at most as much as one site gets at once."""
        await self.make_world()
        first = Sink(reactor)
        self.addCleanup(self.coroutine, first.stop)
        hosts = [f"127.0.0.1:{first.start()}", f"127.0.0.1:{self.sink_port}"]
        gateway = await self.start_gateway(
            relay="route:smart",
            more=f"[routes.smart]\nhosts = {json.dumps(hosts)}\n[queue]\nretry = [1.0]\njitter = 0.0\n",
        )

        def submit() -> None:
            for number in range(self.COUNT):
                message = MESSAGE.format("alice@example.test", number).encode()
                send(gateway.ports["submission"], "alice@example.test", ["d@outside.test"], message, tls=True)

        submitting = Deferred.fromCoroutine(in_thread(submit))
        await self.until(lambda: len(first.received) >= 10)
        await first.stop()
        await submitting

        def numbers() -> list[bytes]:
            both = first.received + self.sink.received
            return [number for one in both for number in re.findall(rb"<m([0-9]+)@example\.test>", one.content)]

        await self.until(lambda: len(set(numbers())) == self.COUNT)
        self.assertGreater(len(self.sink.received), 0)
        self.assertLessEqual(len(numbers()), self.COUNT + 10)
        self.assertEqual(len([event for event in gateway.events if event.get("event") == "host_down"]), 1)


class SmarthostsTests(PostfixTestCase):
    """Several real Postfix as the smarthosts of a route."""

    if postfix.absent():
        skip = postfix.absent()

    async def submit(self, *recipients: str) -> None:
        port, message = self.gateway.ports["submission"], MESSAGE.format("alice@example.test", 1).encode()
        await in_thread(partial(send, tls=True), port, "alice@example.test", recipients, message)

    async def test_the_next_one_within_the_attempt_from_the_routes_address_and_under_its_name(self) -> None:
        await self.make_world()
        waiting = await self.start_postfix(smtpd_recipient_restrictions="defer")
        log_of_the_first = self.folder / "mail.log"
        taking = await self.start_postfix(relayhost=f"[127.0.0.1]:{self.sink_port}")
        gateway = await self.start_gateway(
            relay="route:smart",
            more=f'[routes.smart]\nhosts = ["127.0.0.1:{free_port()}", "127.0.0.1:{waiting}", "127.0.0.1:{taking}"]\n'
            'source_addresses = ["127.0.0.3"]\nhelo = "out.example.test"\n',
        )
        await self.submit("d@outside.test")
        await self.until(lambda: len(self.sink.received) == 1)
        self.assertIn("from out.example.test (unknown [127.0.0.3])", self.sink.received[0].content.decode())
        self.assertIn("NOQUEUE: reject: RCPT from unknown[127.0.0.3]: 450 4.3.2", log_of_the_first.read_text())
        self.assertEqual([event for event in gateway.events if event.get("event") == "delayed"], [])

    async def test_text_is_made_seven_bit_where_it_takes_no_other(self) -> None:
        await self.make_world()
        port = await self.start_postfix(
            relayhost=f"[127.0.0.1]:{self.sink_port}", smtpd_discard_ehlo_keywords="8bitmime, smtputf8"
        )
        await self.start_gateway(relay="route:smart", more=f'[routes.smart]\nhosts = ["127.0.0.1:{port}"]\n')
        submission = self.gateway.ports["submission"]
        await in_thread(partial(send, tls=True), submission, "alice@example.test", ["d@outside.test"], AWKWARD)
        await self.until(lambda: len(self.sink.received) == 1)
        content = self.sink.received[0].content
        self.assertTrue(content.isascii())
        self.assertEqual(message_from_bytes(content).get_payload(decode=True), BODY)

    async def test_each_recipient_has_what_the_smarthost_said_of_it(self) -> None:
        await self.make_world()
        access = "{full@outside.test = 450 4.2.2 no room for that}, {gone@outside.test = 550 5.1.6 has moved away}"
        port = await self.start_postfix(
            relayhost=f"[127.0.0.1]:{self.sink_port}",
            smtpd_recipient_restrictions=f"check_recipient_access inline:{{{access}}} permit",
        )
        gateway = await self.start_gateway(relay="route:smart", more=f'[routes.smart]\nhosts = ["127.0.0.1:{port}"]\n')
        await self.submit("d@outside.test", "full@outside.test", "gone@outside.test")
        delayed = await gateway.wait_for(event="delayed")
        self.assertEqual(delayed["recipient"], "full@outside.test")
        self.assertIn("450 4.2.2 <full@outside.test>: Recipient address rejected: no room for that", delayed["reason"])
        await self.until(lambda: len(self.sink.received) == 1 and len(gateway.folder("alice")) == 1)
        self.assertEqual([str(to) for to in self.sink.received[0].recipients], ["d@outside.test"])
        report = gateway.folder("alice")[0].decode()
        self.assertIn("Final-Recipient: rfc822; gone@outside.test\nAction: failed\nStatus: 5.1.6\n", report)
        self.assertRegex(report, r"Diagnostic-Code: smtp; 550 5\.1\.6 <gone@outside\.test>: .*: has moved away\n")
        self.assertNotIn("full@outside.test\nAction", report)


class StartTests(GatewayTestCase):
    async def test_a_source_address_that_is_not_ours_ends_the_start_with_one_line(self) -> None:
        gateway = Gateway(
            self.mktemp(), more='[relay.rules]\n[routes.x]\nhosts = ["a.test"]\nsource_addresses = ["198.51.100.77"]\n'
        )
        gateway.write_configuration()
        self.addCleanup(self.coroutine, gateway.kill)
        gateway.spawn()
        status, output = await gateway.ended()
        self.assertEqual(status, 1)
        (line,) = [line for line in output.splitlines() if line.startswith("mailgw: ")]
        self.assertIn('routes.x.source_addresses[0]: "198.51.100.77" cannot be used', line)
        self.assertNotIn("Traceback", output)
