"""Real engines, each started by its test with a configuration of its own, asked by the filters over sockets."""

from __future__ import annotations

import base64
import os
from pathlib import Path
from typing import Any

import dkim
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from twisted.internet import reactor as installed_reactor
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IListeningPort
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import deferLater
from twisted.trial.unittest import SkipTest

from mailgw.config.schema import FilterFile, Settings
from mailgw.develop.messages import dkim_record
from mailgw.filters.catalogue import read
from mailgw.filters.runner import FilterRunner, RunResult
from mailgw.mail.message import FileContent, Message
from mailgw.mail.transaction import Transaction
from mailgw.operation.threads import ThreadsInline
from tests.clamav import EICAR, SIGNATURE, ClamavMilter, Clamd
from tests.fakes import FakeResolver
from tests.filters.support import GOOD, make_transaction
from tests.integration.peers import PeerTestCase, free_port
from tests.integration.world import GTUBE, in_thread, swaks
from tests.opendkim import OpenDkim
from tests.programs import Program, absent
from tests.rspamd import Rspamd
from tests.spamd import Spamd

reactor: Any = installed_reactor

INFECTED = (
    b"From: a@sender.test\r\nTo: alice@example.test\r\nSubject: look\r\nMIME-Version: 1.0\r\n"
    b"Content-Type: application/octet-stream; name=a.com\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    + base64.encodebytes(EICAR).replace(b"\n", b"\r\n")
)
SPAM = GOOD.partition(b"At noon")[0] + GTUBE.encode() + b"\r\n"


class EngineTestCase(PeerTestCase):
    """A program beside the filter that asks it."""

    async def start(self, program: Program) -> None:
        # Milters take seconds to end when they are asked to; those with workers have to be asked.
        self.addCleanup(in_thread, program.stop if isinstance(program, (Rspamd, Spamd)) else program.kill)
        await in_thread(program.start)

    def make(self, name: str, **section: Any) -> FilterRunner:
        catalogue = read(FilterFile(filters={name: {"enabled": True, **section}}), "filters.toml", "")
        made = catalogue.make(Settings(hostname="mail.example.test"), reactor, ThreadsInline(), FakeResolver())
        return FilterRunner([f for f in made if f.name == name], reactor)

    async def ask(self, runner: FilterRunner, data: bytes, **changes: Any) -> dict[str, str]:
        """Give the details of the evidence by symbol; `result` is how the run went."""
        self.transaction = make_transaction(data, **changes)
        return await self.ask_about(runner, self.transaction)

    async def ask_about(self, runner: FilterRunner, transaction: Transaction) -> dict[str, str]:
        self.result: RunResult = await runner.run(transaction)
        return {e.symbol: e.detail for e in transaction.evidence}


class ClamdTests(EngineTestCase):
    skip = absent("clamd") or None

    async def setUp(self) -> None:
        self.port = free_port()
        self.clamd = Clamd(self.make_folder(), self.port)
        await self.start(self.clamd)

    async def test_eicar_is_found_over_both_kinds_of_sockets(self) -> None:
        for address in (f"unix:{self.clamd.socket}", f"127.0.0.1:{self.port}", f"localhost:{self.port}"):
            runner = self.make("clamav", addresses=[address])
            self.assertEqual(await self.ask(runner, INFECTED), {"CLAMAV_VIRUS": SIGNATURE})
            self.assertEqual(await self.ask(runner, GOOD), {})

    async def test_a_large_message_in_a_file_and_one_that_is_too_large_for_clamd(self) -> None:
        runner = self.make("clamav", addresses=[f"unix:{self.clamd.socket}"])
        for size, found in ((1_500_000, {"CLAMAV_VIRUS"}), (3_000_000, {"CLAMAV_TOO_LARGE"})):
            path = Path(self.mktemp())
            head, _, body = INFECTED.partition(b"\r\n\r\n")
            filled = head + b"\r\nX-Fill: " + b"x" * 900 + b"\r\n\r\n" + body
            part = b"--b\r\nContent-Type: text/plain\r\n\r\n" + b"line of text\r\n" * (size // 14) + b"--b\r\n"
            data = b"From: a@b.test\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n" + part
            data += filled + b"--b--\r\n"
            path.write_bytes(data)
            message = Message(FileContent(str(path), len(data)), data.partition(b"\r\n\r\n")[0] + b"\r\n\r\n")
            self.assertEqual(set(await self.ask_about(runner, make_transaction(message=message))), found)

    async def test_clamd_is_killed_and_comes_back(self) -> None:
        runner = self.make("clamav", addresses=[f"unix:{self.clamd.socket}"], failures=2, pause=0.2)
        await in_thread(self.clamd.kill)
        for _ in range(3):
            self.assertEqual(set(await self.ask(runner, INFECTED)), {"FILTER_ERROR"})
            self.assertEqual(self.result.deferring, ("clamav",))
        self.clamd.socket.unlink()
        await in_thread(self.clamd.start)
        await deferLater(reactor, 0.3)
        self.assertEqual(set(await self.ask(runner, INFECTED)), {"CLAMAV_VIRUS"})

    async def test_clamd_is_killed_in_the_middle_of_a_scan(self) -> None:
        runner = self.make("clamav", addresses=[f"unix:{self.clamd.socket}"])
        self.clamd.suspend()
        asking = Deferred.fromCoroutine(self.ask(runner, INFECTED))
        await deferLater(reactor, 0.2)
        self.assertFalse(asking.called)
        await in_thread(self.clamd.kill)
        self.assertEqual(set(await asking), {"FILTER_ERROR"})

    async def test_a_clamd_that_never_answers_is_given_up_within_the_limit(self) -> None:
        runner = self.make("clamav", addresses=[f"unix:{self.clamd.socket}"], time_limit=0.5, failures=2, pause=60)
        self.clamd.suspend()
        for expected, limit in (("FILTER_TIMEOUT", 2.0), ("FILTER_TIMEOUT", 2.0), ("FILTER_ERROR", 0.3)):
            begun = reactor.seconds()
            self.assertEqual(set(await self.ask(runner, INFECTED)), {expected})
            self.assertLess(reactor.seconds() - begun, limit)  # the last one: its breaker is open
            await deferLater(reactor, 0)  # the answer comes before the one that is given up hears of it
        self.clamd.resume()

    async def test_the_second_address_when_the_first_is_down(self) -> None:
        runner = self.make("clamav", addresses=["unix:/nonexistent/clamd.ctl", f"127.0.0.1:{self.port}"])
        self.assertEqual(set(await self.ask(runner, INFECTED)), {"CLAMAV_VIRUS"})

    async def test_the_gateway_refuses_eicar_by_the_hard_rule(self) -> None:
        if absent("swaks"):
            raise SkipTest(absent("swaks"))
        await self.make_world()
        filters = '[rules]\nCLAMAV_VIRUS = "reject"\n\n[filters.clamav]\nenabled = true\n'
        await self.start_gateway({"filters.toml": f'{filters}addresses = ["unix:{self.clamd.socket}"]\n'})
        path = self.mktemp()
        server = f"127.0.0.1:{self.gateway.ports['mx']}"
        sender = ("--server", server, "--helo", "mail.sender.test", "--from", "a@sender.test")
        for data, code in ((INFECTED, "554 5.7.1"), (GOOD, "250 2.0.0")):
            Path(path).write_bytes(data.replace(b"\r\n", b"\n"))
            text, _ = await swaks(*sender, "--to", "alice@example.test", "--data", f"@{path}")
            self.assertIn(f"<** {code}" if code.startswith("5") else f"<-  {code}", text)
        refused = await self.gateway.wait_for(event="refused")
        self.assertIn("CLAMAV_VIRUS", refused["symbols"])
        await in_thread(self.clamd.kill)
        Path(path).write_bytes(GOOD.replace(b"\r\n", b"\n"))
        text, _ = await swaks(*sender, "--to", "alice@example.test", "--data", f"@{path}")
        self.assertIn("<** 451 4.7.1", text)


class SpamdTests(EngineTestCase):
    skip = absent("spamd") or None

    async def test_spam_good_mail_and_a_message_without_a_last_line_end(self) -> None:
        port = free_port()
        await self.start(Spamd(self.make_folder(), port))
        runner = self.make("spamassassin", addresses=[f"127.0.0.1:{port}"], time_limit=30)
        found = await self.ask(runner, SPAM)
        self.assertRegex(found["SPAMASSASSIN_SPAM"], r"^score 1\d\d\d\.\d\d of 5: GTUBE 1000, ")
        self.assertEqual(self.transaction.evidence[0].strength, 1.0)
        good = await self.ask(runner, GOOD)
        self.assertNotIn("GTUBE", str(good))
        self.assertEqual(await self.ask(runner, GOOD.removesuffix(b"\r\n")), good)


class RspamdTests(EngineTestCase):
    skip = absent("rspamd") or ("rspamd has to be started by root" if os.geteuid() else None)

    async def test_spam_and_good_mail(self) -> None:
        port = free_port()
        await self.start(Rspamd(self.make_folder(), port))
        runner = self.make("rspamd", addresses=[f"127.0.0.1:{port}"])
        found = await self.ask(runner, SPAM)
        self.assertIn("reject", found["RSPAMD_SPAM"])
        self.assertEqual(self.transaction.evidence[0].strength, 1.0)
        found = await self.ask(runner, GOOD, identity="bob@example.org", tls="TLSv1.3 TLS_AES_256_GCM_SHA384")
        self.assertNotIn("reject", str(found))


class MilterTests(EngineTestCase):
    skip = absent("clamd", "clamav-milter") or None

    async def test_clamav_milter_rejects_eicar_with_its_own_words(self) -> None:
        clamd = Clamd(self.make_folder(), free_port())
        milter = ClamavMilter(self.folder, clamd)
        await self.start(clamd)
        await self.start(milter)
        runner = self.make("milter", servers={"clam": {"address": f"unix:{milter.socket}"}})
        self.assertEqual(
            await self.ask(runner, INFECTED), {"MILTER_REJECT": f"clam rejects: 550 5.7.1 {SIGNATURE} was found"}
        )
        self.assertEqual(await self.ask(runner, GOOD, address="2001:db8::1"), {})
        self.assertEqual(await self.ask(runner, GOOD + b"x" * 70 + b"\r\n" * 500000), {})
        await in_thread(clamd.kill)
        self.assertEqual(set(await self.ask(runner, GOOD)), {"MILTER_TEMPFAIL"})
        await in_thread(milter.kill)
        self.assertEqual(set(await self.ask(runner, GOOD)), {"MILTER_ERROR"})

    async def test_clamav_milter_puts_eicar_into_quarantine(self) -> None:
        clamd = Clamd(self.make_folder(), free_port())
        milter = ClamavMilter(self.folder, clamd, "Quarantine")
        await self.start(clamd)
        await self.start(milter)
        runner = self.make("milter", servers={"clam": {"address": f"unix:{milter.socket}"}})
        found = await self.ask(runner, INFECTED)
        self.assertEqual(set(found), {"MILTER_QUARANTINE"})
        self.assertTrue(found["MILTER_QUARANTINE"].startswith("clam: "))


class OpenDkimTests(EngineTestCase):
    skip = absent("opendkim") or None

    def make_key(self) -> bytes:
        return rsa.generate_private_key(65537, 2048).private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
        )

    async def start_opendkim(self, more: str = "") -> FilterRunner:
        self.key = self.opendkim_key = self.make_key()
        folder = self.make_folder()
        (folder / "key").write_bytes(self.key)
        (folder / "key").chmod(0o600)
        self.opendkim = OpenDkim(folder, "sender.test", dkim_record(self.key), more.format(folder=folder))
        await self.start(self.opendkim)
        server = {"address": f"unix:{self.opendkim.socket}", "headers": True, "pretend": ["change_header"]}
        return self.make("milter", servers={"opendkim": server})

    async def test_it_verifies_what_we_tell_it(self) -> None:
        """So header and body reach it octet by octet."""
        runner = await self.start_opendkim()
        message = (
            b"From: a@sender.test\r\nSubject:  odd   \r\n\tfolding \r\nX-Tight:x\r\nTo: b@example.test\r\n"
            b"Date: Mon, 02 Nov 2026 10:00:00 +0000\r\n\r\nBody  \r\n.\r\n\r\n\r\n"
        )
        for canonicalisation in ((b"relaxed", b"relaxed"), (b"simple", b"simple")):
            signature = dkim.sign(message, b"test", b"sender.test", self.key, canonicalize=canonicalisation)
            signed = signature + message
            self.assertEqual(await self.ask(runner, signed), {})
            (field,) = self.transaction.additions
            self.assertRegex(field, rb"^Authentication-Results: mail\.example\.test;[^:]*dkim=pass")
            await self.ask(runner, signed.replace(b"Body", b"Bode"))
            self.assertIn(b"dkim=fail", self.transaction.additions[0])

    async def test_it_signs_and_the_field_is_above_the_message(self) -> None:
        runner = await self.start_opendkim(
            "Mode s\nDomain sender.test\nSelector test\nKeyFile {folder}/key\nRequireSafeKeys no\n"
            "InternalHosts 192.0.2.1\n"
        )
        message = GOOD.replace(b"example.net", b"sender.test")
        self.assertEqual(await self.ask(runner, message), {})
        (field,) = self.transaction.additions
        record = (
            f"v=DKIM1; {dkim_record(self.key)}" if not dkim_record(self.key).startswith("v=") else dkim_record(self.key)
        )
        self.assertTrue(dkim.verify(field + message, dnsfunc=lambda name, timeout=5: record.encode()))

    async def test_its_field_stands_in_the_message_that_is_delivered(self) -> None:
        if absent("swaks"):
            raise SkipTest(absent("swaks"))
        await self.start_opendkim()
        await self.make_world()
        server = f'address = "unix:{self.opendkim.socket}"\nheaders = true\npretend = ["change_header"]\n'
        filters = f"[filters.milter]\nenabled = true\n[filters.milter.servers.opendkim]\n{server}"
        await self.start_gateway({"filters.toml": filters})
        message = b"From: a@sender.test\nTo: alice@example.test\nSubject: signed\n\nHello\n"
        path = Path(self.mktemp())
        path.write_bytes(
            dkim.sign(message, b"test", b"sender.test", self.opendkim_key).replace(b"\r\n", b"\n") + message
        )
        text, _ = await swaks(
            *("--server", f"127.0.0.1:{self.gateway.ports['mx']}", "--helo", "mail.sender.test"),
            *("--from", "a@sender.test", "--to", "alice@example.test", "--data", f"@{path}"),
        )
        self.assertIn("250 2.0.0", text)
        await self.gateway.wait_for(event="delivered")
        (delivered,) = self.gateway.folder("alice")
        head = delivered.partition(b"Subject: signed")[0]
        # Ours is above, where readers look first; opendkim's between it and what was received.
        fields = [line for line in head.split(b"\n") if line.startswith((b"Authentication-Results:", b"Received:"))]
        self.assertEqual(
            [line.partition(b":")[0] for line in fields],
            [b"Authentication-Results", b"Received", b"Authentication-Results"],
        )

    async def test_without_leave_to_change_it_says_what_is_wrong(self) -> None:
        await self.start_opendkim()
        runner = self.make("milter", servers={"opendkim": {"address": f"unix:{self.opendkim.socket}"}})
        found = await self.ask(runner, GOOD)
        self.assertIn("does not work with the actions that it is offered", found["MILTER_ERROR"])


class _Mean(Protocol):
    """An engine that answers garbage, or floods, or takes nothing."""

    def connectionMade(self) -> None:
        manner = self.factory.manner  # type: ignore[union-attr]
        if manner == "garbage":
            self.transport.write(os.urandom(300))  # type: ignore[union-attr]
        elif manner == "flood":
            self.transport.write(b"x" * 4_000_000)  # type: ignore[union-attr]
        elif manner == "deaf":
            self.transport.pauseProducing()  # type: ignore[union-attr]
        elif manner == "close":
            self.transport.loseConnection()  # type: ignore[union-attr]


class MeanEngineTests(EngineTestCase):
    """Every filter with engines that mean no good: each ends within its limit, with a symbol that says so."""

    def listen(self, manner: str) -> int:
        factory = Factory.forProtocol(_Mean)
        factory.manner = manner  # type: ignore[attr-defined]
        port: IListeningPort = reactor.listenTCP(0, factory, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        number: int = port.getHost().port
        return number

    async def test_garbage_floods_deafness_and_closing(self) -> None:
        large = GOOD + b"line of text\r\n" * 1_000_000
        for manner in ("garbage", "flood", "deaf", "close"):
            address = f"127.0.0.1:{self.listen(manner)}"
            for name in ("clamav", "rspamd", "spamassassin"):
                runner = self.make(name, addresses=[address], time_limit=0.5, max_size=10**8)
                begun = reactor.seconds()
                found = await self.ask(runner, large)
                self.assertLess(reactor.seconds() - begun, 2.0)
                self.assertLessEqual(set(found), {"FILTER_ERROR", "FILTER_TIMEOUT"}, (manner, name))
                self.assertEqual(len(found), 1)
            servers = {"mean": {"address": address, "reply_time": 0.4, "time_limit": 1}}
            self.assertEqual(set(await self.ask(self.make("milter", servers=servers), large)), {"MILTER_ERROR"})
