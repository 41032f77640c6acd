"""`mailgw tls`, as a program, against DNS on loopback: what holds towards a domain, and why."""

from __future__ import annotations

import json
import os
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

from twisted.internet import reactor as installed_reactor
from twisted.internet.defer import Deferred
from twisted.internet.utils import getProcessOutputAndValue
from twisted.trial.unittest import TestCase

import mailgw
from mailgw.develop.dnsserver import DnsServer, World
from mailgw.mta_sts.policy import parse_policy
from mailgw.mta_sts.store import FILE, MIGRATIONS, Kept, read, write
from mailgw.state.database import connect

reactor: Any = installed_reactor
ROOT = Path(mailgw.__file__).parent.parent
CONFIG = """
hostname = "mail.example.test"
state_directory = "state"
[domains."example.test"]
[listeners.mx]
addresses = ["0.0.0.0:25"]
tls = "none"
[tls_policies."bank.test"]
minimum_version = "1.3"
[tls_policies."broken.test"]
tls = "opportunistic"
ignore = ["mta-sts"]
[dns]
servers = ["127.0.0.1:{port}"]
timeout = 2.0
"""
ZONE = {
    "plain.test": {"MX": ["10 mx.plain.test."]},
    "bank.test": {"MX": ["10 mx.bank.test."]},
    "sts.test": {"MX": ["10 mx1.sts.test.", "20 mx2.sts.test."]},
    "_mta-sts.sts.test": {"TXT": ["v=STSv1; id=1"]},
    "mta-sts.sts.test": {"A": ["127.0.88.9"]},  # where nobody listens
    "moved.test": {"MX": ["10 mx.moved.test."]},
    "broken.test": {"MX": ["10 mx.broken.test."]},
    "nomail.test": {"MX": ["0 ."]},
    "dane.test": {"MX": ["10 mx.dane.test."]},
    "mx.dane.test": {"A": ["192.0.2.1"]},
    "_25._tcp.mx.dane.test": {"TLSA": ["3 1 1 " + "ab" * 32]},
}


class TlsTests(TestCase):
    timeout = 60

    def setUp(self) -> None:
        self.etc = Path(self.mktemp()).absolute()
        (self.etc / "state").mkdir(parents=True)
        self.server = DnsServer(reactor, World(ZONE))
        (self.etc / "mailgw.toml").write_text(CONFIG.format(port=self.server.start()))
        self.addCleanup(lambda: Deferred.fromCoroutine(self.server.stop()))
        for domain, exchange in (("sts.test", "mx1.sts.test"), ("moved.test", "old.test"), ("broken.test", "old.test")):
            self.keep(domain, exchange)

    def keep(self, domain: str, exchange: str) -> None:
        text = f"version: STSv1\nmode: enforce\nmx: {exchange}\nmax_age: 604800\n"
        with closing(connect(self.etc / "state" / FILE, MIGRATIONS)) as connection:
            write(connection, Kept(domain, "1", parse_policy(text.encode()), time.time()))

    def kept(self, domain: str) -> Kept | None:
        with closing(connect(self.etc / "state" / FILE, MIGRATIONS)) as connection:
            return read(connection, domain)

    async def tls(self, *arguments: str, code: int = 0) -> str:
        command = ["-m", "mailgw.commands.main", "--config", str(self.etc / "mailgw.toml"), "tls", *arguments]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        out, err, status = await getProcessOutputAndValue(sys.executable, command, env=environment)
        text = (out + err).decode()
        self.assertNotIn("Traceback", text)
        self.assertEqual(status, code, text)
        return text

    async def rows(self, *domains: str, code: int = 0) -> list[Any]:
        return [json.loads(line) for line in (await self.tls("--json", *domains, code=code)).splitlines()]

    async def test_each_kind_of_demand(self) -> None:
        plain, bank, sts, broken = await self.rows("plain.test", "bank.test", "sts.test", "broken.test")
        ways = [(host["host"], host["tls"], host["basis"]) for view in (plain, bank, broken) for host in view["hosts"]]
        self.assertEqual(
            ways,
            [
                ("mx.plain.test", "opportunistic", ""),
                ("mx.bank.test", "verified", "policy"),
                ("mx.broken.test", "opportunistic", "policy"),
            ],
        )
        self.assertEqual(bank["hosts"][0]["minimum_version"], "1.3")
        first, second = sts["hosts"]
        self.assertEqual((first["host"], first["tls"], first["basis"]), ("mx1.sts.test", "verified", "mta-sts"))
        self.assertIn("does not name it", second["problem"])
        self.assertEqual(sts["policy"]["expires"] - sts["policy"]["fetched"], 604800)
        self.assertEqual((sts["policy"]["mode"], broken["ignored"], sts["ignored"]), ("enforce", True, False))

    async def test_dane(self) -> None:
        self.server.world = World(ZONE, authenticated=True)
        (view,) = await self.rows("dane.test")
        (host,) = view["hosts"]
        self.assertEqual((host["tls"], host["basis"], host["tlsa"]), ("dane", "dane", ["3 1 1 " + "ab" * 32]))
        self.assertTrue(view["signed"])

    async def test_mail_that_does_not_go(self) -> None:
        moved, nomail, gone = await self.rows("moved.test", "nomail.test", "gone.test", code=1)
        self.assertIn("4.7.5 none of the MX hosts of moved.test", moved["problem"])
        self.assertEqual([host["host"] for host in moved["hosts"]], ["mx.moved.test"])
        self.assertIn("5.1.10 the domain nomail.test takes no mail", nomail["problem"])
        self.assertIn("does not exist", gone["problem"])

    async def test_words(self) -> None:
        text = await self.tls("sts.test", "plain.test")
        for words in (
            "TLS with a certificate for its name, which the domain's MTA-STS policy demands",
            "left out: the MTA-STS policy does not name it",
            "MTA-STS: enforce for mx1.sts.test; id 1, fetched 20",
            "TLS where it is offered",
            "MTA-STS: none",
            "DNSSEC: does not vouch for the MX records",
        ):
            self.assertIn(words, text)

    async def test_forgotten(self) -> None:
        text = await self.tls("--forget", "sts.test", "plain.test")
        self.assertIn("sts.test: its policy is forgotten", text)
        self.assertIn("plain.test: no policy was kept", text)
        self.assertIn("no policy: https://mta-sts.sts.test/.well-known/mta-sts.txt cannot be had", text)
        self.assertIsNone(self.kept("sts.test"))
        self.assertIsNotNone(self.kept("moved.test"))

    async def test_nothing_is_changed_by_a_look(self) -> None:
        (self.etc / "state" / FILE).unlink()
        await self.tls("plain.test")
        self.assertEqual(list((self.etc / "state").glob(f"{FILE}")), [])

    async def test_what_is_no_domain(self) -> None:
        self.assertIn('"a b" is not a domain', await self.tls("a b", code=2))
