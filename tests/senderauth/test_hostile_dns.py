"""What senders may publish to hurt us: each check ends within its deadline, with the result that the RFC has for it."""

from __future__ import annotations

import random
import time
from collections.abc import Coroutine
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase, TestCase

from mailgw.config.schema import Dns
from mailgw.dns.resolver import DnsResolver
from mailgw.mail.address import Mailbox
from mailgw.mail.message import Message
from mailgw.mail.transaction import Client
from mailgw.operation.threads import ThreadsInline
from mailgw.senderauth.authenticator import TIME_LIMIT, Authenticator, Findings
from tests.dns.test_resolver import FakeExchange
from tests.dnsserver import DnsServer
from tests.fakes import FAIL, reverse_name
from tests.senderauth.sealing import seal
from tests.senderauth.signing import CONTENT, rsa_record, rsa_record_of, sign

CLIENT = Client("S", "mx", "192.0.2.1", helo="[192.0.2.1]")
PASS = "v=spf1 ip4:192.0.2.1 -all"
LONG = 64_000


def fan_out(name: str, depth: int) -> dict[str, Any]:
    """A tree of SPF records, each of which includes ten more."""
    below = [f"{n}.{name}" for n in range(10)]
    zone: dict[str, Any] = {name: {"TXT": ["v=spf1 " + " ".join(f"include:{child}" for child in below) + " -all"]}}
    for child in below if depth else ():
        zone.update(fan_out(child, depth - 1))
    return zone


# The number of the modulus is no product of two primes that anybody knows; to read it is all that it is for.
HUGE_KEY = rsa_record_of((1 << 16383) + 1)
KEY = "s1._domainkey.example.org"
ZONE: dict[str, Any] = {
    "long.example": {"TXT": ["v=spf1 " + "ip4:192.0.2.9 " * (LONG // 14) + "-all"]},
    "_dmarc.long.example": {"TXT": ["v=DMARC1; p=reject; x=" + "y" * LONG]},
    "loop.example": {"CNAME": ["loop.example"]},
    "to-loop.example": {"TXT": ["v=spf1 include:loop.example -all"]},
    "_dmarc.loop.example": {"CNAME": ["_dmarc.ring.example"]},
    "_dmarc.ring.example": {"CNAME": ["_dmarc.loop.example"]},
    "records.example": {"TXT": [*(f"text {n}" for n in range(299)), PASS]},
    "_dmarc.records.example": {"TXT": [*(f"text {n}" for n in range(299)), "v=DMARC1; p=reject"]},
    # 300 strings of one record, which are one text (RFC 7208 3.3, RFC 6376 3.6.2.2, RFC 9989 4.5).
    "strings.example": {"TXT": [tuple("v=spf1 ip4:192.0.2.1 -all".ljust(300))]},
    "_dmarc.strings.example": {"TXT": [tuple("v=DMARC1; p=reject".ljust(300))]},
    "wide.example": {"MX": [(n, f"mx{n}.wide.example") for n in range(10)]},
    "broken.example": FAIL,
    **fan_out("tree.example", 1),
}


class HostileDnsTests(TestCase):
    """Against a real server on loopback."""

    timeout = 60

    def setUp(self) -> None:
        self.server = DnsServer(ZONE)
        address = self.server.start(reactor)
        settings = Dns(servers=(address,), timeout=5.0)
        self.resolver = DnsResolver(reactor, settings, random.SystemRandom())
        self.authenticator = Authenticator(self.resolver, ThreadsInline(), "gw.example", reactor)
        self.addCleanup(lambda: Deferred.fromCoroutine(self.server.stop()))
        self.addCleanup(lambda: Deferred.fromCoroutine(self.resolver.stop()))

    async def result(self, check: Coroutine[Any, Any, Findings], limit: float = 3.0) -> tuple[str, str]:
        """Give result and reason; the check has to end within `limit` seconds, and use little CPU."""
        began, cpu = reactor.seconds(), time.process_time()
        findings = await check
        self.assertLess(reactor.seconds() - began, limit)
        self.assertLess(time.process_time() - cpu, 1.0)
        return findings.auth[0].result, findings.auth[0].reason

    async def spf(self, domain: str) -> tuple[str, str]:
        return await self.result(self.authenticator.spf(CLIENT, Mailbox("ann", domain)))

    async def dkim(self, records: object) -> tuple[str, str]:
        self.server.zone[KEY] = records if records == FAIL else {"TXT": records}  # type: ignore[assignment, dict-item]
        return await self.result(self.authenticator.dkim(Message.from_bytes(sign())))

    async def dmarc(self, domain: str) -> tuple[str, str]:
        message = Message.from_bytes(f"From: a@{domain}\r\n\r\n".encode())
        return await self.result(self.authenticator.dmarc(message, ()))

    async def test_spf_record_of_64_kb(self) -> None:
        result, reason = await self.spf("long.example")
        self.assertEqual(result, "permerror")
        self.assertIn("longer than 4096 octets", reason)
        self.assertIn(("long.example", "TXT", "tcp"), self.server.asked)

    async def test_key_record_of_64_kb(self) -> None:
        result, reason = await self.dkim([rsa_record() + "; n=" + "x" * LONG])
        self.assertEqual(result, "permerror")
        self.assertIn("longer than", reason)

    async def test_dmarc_record_of_64_kb(self) -> None:
        self.assertEqual((await self.dmarc("long.example"))[0], "permerror")

    async def test_cname_loop(self) -> None:
        """A loop has no end that could be 'no record': RFC 1034 3.6.2 makes it an error."""
        self.assertEqual((await self.spf("loop.example"))[0], "temperror")
        self.assertEqual((await self.spf("to-loop.example"))[0], "temperror")
        self.assertEqual((await self.dmarc("loop.example"))[0], "temperror")
        self.server.zone[KEY] = {"CNAME": [KEY]}
        self.assertEqual((await self.result(self.authenticator.dkim(Message.from_bytes(sign()))))[0], "temperror")
        self.assertLessEqual(len(self.server.asked), 12)

    async def test_300_txt_records(self) -> None:
        self.assertEqual((await self.spf("records.example"))[0], "pass")
        self.assertEqual((await self.dmarc("records.example"))[0], "fail")
        # RFC 6376 3.6.2.2: with several records under a key's name the result is undefined; ours is bounded.
        self.assertEqual((await self.dkim([*(f"t{n}" for n in range(299)), rsa_record()]))[0], "permerror")

    async def test_300_txt_strings_in_one_record(self) -> None:
        self.assertEqual((await self.spf("strings.example"))[0], "pass")
        self.assertEqual((await self.dmarc("strings.example"))[0], "fail")
        self.assertEqual((await self.dkim([tuple(rsa_record())]))[0], "pass")

    async def test_spf_tree_that_fans_out(self) -> None:
        """RFC 7208 4.6.4: ten terms with a lookup, in all records together."""
        result, _ = await self.spf("tree.example")
        self.assertEqual(result, "permerror")
        self.assertLessEqual(len(self.server.asked), 11)

    async def test_spf_with_all_lookups_that_it_may_have(self) -> None:
        self.server.zone["most.example"] = {"TXT": ["v=spf1 " + "mx:wide.example " * 10 + "-all"]}
        self.assertEqual((await self.spf("most.example"))[0], "fail")
        self.assertLessEqual(len(self.server.asked), 1 + 1 + 10)

    async def test_key_of_16384_bits(self) -> None:
        """RFC 6376 3.3.3 wants keys up to 2048 bits verified; ours go to 8192, as more costs us too much."""
        self.assertEqual(await self.dkim([HUGE_KEY]), ("policy", "the key has 16384 bits, more than 8192"))

    async def test_key_of_16384_bits_in_a_seal(self) -> None:
        self.server.zone["s1._domainkey.lists.example"] = {"TXT": [HUGE_KEY]}
        check = self.authenticator.arc(Message.from_bytes(seal(CONTENT)), CLIENT)
        self.assertEqual((await self.result(check))[0], "fail")

    async def test_temporary_failure_is_its_own_result(self) -> None:
        self.server.zone[reverse_name(CLIENT.address)] = FAIL
        self.assertEqual((await self.result(self.authenticator.iprev(CLIENT)))[0], "temperror")
        self.assertEqual((await self.spf("broken.example"))[0], "temperror")
        self.assertEqual((await self.dkim(FAIL))[0], "temperror")
        self.server.zone["_dmarc.broken.example"] = FAIL
        self.assertEqual((await self.dmarc("broken.example"))[0], "temperror")
        self.server.zone["s1._domainkey.lists.example"] = FAIL
        arc = await self.authenticator.arc(Message.from_bytes(seal(CONTENT)), CLIENT)
        self.assertEqual([evidence.symbol for evidence in arc.evidence], ["ARC_TEMPERROR"])

    async def test_slow_server_is_heard(self) -> None:
        """Later than our first try has patience, in real time."""
        self.server.zone["slow.example"] = {"TXT": [PASS]}
        self.server.delay = 1.3
        self.assertEqual((await self.spf("slow.example"))[0], "pass")


class SlowDnsTests(SynchronousTestCase):
    """A server that takes four seconds for each answer, on a clock."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(time.time())
        exchange = FakeExchange(self.clock)
        chain = {f"c{n}.example": {"TXT": [f"v=spf1 include:c{n + 1}.example -all"]} for n in range(9)}
        zone: dict[str, Any] = {
            **chain,
            "one.example": {"TXT": [PASS]},
            KEY: {"TXT": [rsa_record()]},
            "_dmarc.example.org": {"TXT": ["v=DMARC1; p=reject"]},
            "c9.example": {"TXT": [PASS]},
        }
        self.server = exchange.servers["127.0.0.1"] = DnsServer(zone)
        exchange.slow["127.0.0.1"] = 4.0
        resolver = DnsResolver(self.clock, Dns(servers=("127.0.0.1",)), random.Random(1), exchange=exchange)
        self.authenticator = Authenticator(resolver, ThreadsInline(), "gw.example", self.clock)

    def run_check(self, check: Coroutine[Any, Any, Findings]) -> tuple[str, float]:
        """Give the result, and the seconds that it took."""
        began = self.clock.seconds()
        running = Deferred.fromCoroutine(check)
        while not running.called:
            self.clock.advance(0.5)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        return self.successResultOf(running).auth[0].result, self.clock.seconds() - began

    def test_what_it_says_counts(self) -> None:
        self.assertEqual(self.run_check(self.authenticator.spf(CLIENT, Mailbox("a", "one.example"))), ("pass", 4.0))
        self.assertEqual(self.run_check(self.authenticator.dkim(Message.from_bytes(sign()))), ("pass", 4.0))
        message = Message.from_bytes(CONTENT)
        self.assertEqual(self.run_check(self.authenticator.dmarc(message, ())), ("fail", 4.0))

    def test_a_chain_of_it_ends_at_the_deadline_of_the_check(self) -> None:
        check = self.authenticator.spf(CLIENT, Mailbox("a", "c0.example"))
        self.assertEqual(self.run_check(check), ("temperror", TIME_LIMIT))
        self.assertLessEqual(len(self.server.asked), 3 * 6)
