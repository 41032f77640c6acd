"""`mailgw doctor`, as a program, against a DNS server on loopback: with a good zone, and with a bad one."""

from __future__ import annotations

import datetime
import hashlib
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from twisted.internet import reactor as installed_reactor
from twisted.internet.defer import Deferred
from twisted.internet.utils import getProcessOutputAndValue
from twisted.trial.unittest import TestCase

import mailgw
from mailgw.delivery.dkim.keys import read_keys
from mailgw.develop.certificate import make_certificate
from mailgw.develop.dnsserver import DnsServer, World
from tests.delivery.keys import pem, write_key

reactor: Any = installed_reactor
ROOT = Path(mailgw.__file__).parent.parent
CONFIG = """
hostname = "mail.example.test"
[domains."example.test"]
[domains."other.test"]
[listeners.mx]
addresses = ["0.0.0.0:25"]
[tls]
certificate_file = "certificate.pem"
key_file = "key.pem"
[dns]
servers = ["127.0.0.1:{port}"]
timeout = 2.0
"""
Zone = Mapping[str, Mapping[str, Sequence[str]]]


class DoctorTests(TestCase):
    timeout = 60

    def setUp(self) -> None:
        self.etc = Path(self.mktemp()).absolute()
        self.etc.mkdir()
        certificate, key = make_certificate(["mail.example.test"], datetime.datetime.now(datetime.UTC))
        self.certificate = x509.load_pem_x509_certificate(certificate)
        (self.etc / "certificate.pem").write_bytes(certificate)
        (self.etc / "key.pem").write_bytes(key)
        write_key(str(self.etc / "dkim"), "example.test", "s1", pem("ed25519"))
        self.server = DnsServer(reactor, World(authenticated=True))
        (self.etc / "mailgw.toml").write_text(CONFIG.format(port=self.server.start()))
        self.addCleanup(lambda: Deferred.fromCoroutine(self.server.stop()))

    def good_zone(self) -> dict[str, dict[str, list[str]]]:
        (key,) = read_keys(str(self.etc / "dkim"))
        public = self.certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return {
            "org": {"SOA": ["ns.org. hostmaster.org. 1 2 3 4 5"]},
            "mail.example.test": {"A": ["192.0.2.1"], "TXT": ["v=spf1 a -all"]},
            "1.2.0.192.in-addr.arpa": {"PTR": ["mail.example.test."]},
            "_25._tcp.mail.example.test": {"TLSA": [f"3 1 1 {hashlib.sha256(public).hexdigest()}"]},
            "example.test": {"MX": ["10 mail.example.test."], "TXT": ["v=spf1 mx -all"]},
            key.name: {"TXT": [key.record]},
            "_dmarc.example.test": {"TXT": ["v=DMARC1; p=reject; rua=mailto:postmaster@example.test"]},
            "_smtp._tls.example.test": {"TXT": ["v=TLSRPTv1; rua=mailto:postmaster@example.test"]},
            "_mta-sts.example.test": {"TXT": ["v=STSv1; id=1"]},
        }

    async def doctor(self, zone: Zone, *arguments: str) -> tuple[str, int]:
        self.server.world = World(zone, authenticated=True)
        command = ["-m", "mailgw.commands.main", "--config", str(self.etc / "mailgw.toml"), "doctor", *arguments]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        out, err, code = await getProcessOutputAndValue(sys.executable, command, env=environment)
        self.assertNotIn(b"Traceback", err)
        return (out or err).decode(), code

    async def findings(self, zone: Zone, *arguments: str) -> tuple[list[dict[str, str]], int]:
        text, code = await self.doctor(zone, "--json", "--offline", *arguments)
        return json.loads(text)["findings"], code

    async def test_good_zone(self) -> None:
        findings, code = await self.findings(self.good_zone(), "--domain", "example.test")
        problems = [(f["subject"], f["fact"]) for f in findings if f["level"] in ("warning", "error")]
        # What a test cannot have is a certificate of a CA.
        self.assertEqual(problems, [("certificate", "we have signed it ourselves")])
        self.assertEqual(code, 1)
        good = {finding["subject"] for finding in findings if finding["level"] == "ok"}
        self.assertLessEqual({"MX", "SPF", "DKIM", "DMARC", "TLS-RPT", "TLSA", "PTR", "hostname", "resolver"}, good)

    async def test_bad_zone(self) -> None:
        zone = {
            **self.good_zone(),
            "example.test": {"MX": ["10 elsewhere.test."], "TXT": ["v=spf1 ip4:198.51.100.1 +all"]},
            "elsewhere.test": {"A": ["198.51.100.1"]},
            "1.2.0.192.in-addr.arpa": {"PTR": ["dsl.provider.test."]},
            "s1._domainkey.example.test": {"TXT": ["v=DKIM1; k=ed25519; p="]},
            "_25._tcp.mail.example.test": {"TLSA": [f"3 1 1 {'00' * 32}"]},
            "_dmarc.example.test": {"TXT": ["v=DMARC1; p=rejekt"]},
        }
        findings, code = await self.findings(zone)
        self.assertEqual(code, 2)
        errors = {finding["subject"] for finding in findings if finding["level"] == "error"}
        self.assertLessEqual({"MX", "SPF", "DKIM", "DMARC", "PTR", "TLSA"}, errors)
        self.assertIn("other.test", {finding["about"] for finding in findings})

    async def test_page(self) -> None:
        text, code = await self.doctor({**self.good_zone(), "_dmarc.example.test": {}}, "--offline")
        self.assertEqual(code, 2)  # other.test does not exist
        self.assertIn("warning: DMARC of example.test: there is no DMARC record", text)
        self.assertIn('    _dmarc.example.test. IN TXT "v=DMARC1; p=none; rua=mailto:postmaster@example.test"', text)
        self.assertRegex(text, r"\d+ ok, \d+ note, \d+ warning, \d+ error")

    async def test_a_domain_that_is_not_ours(self) -> None:
        text, code = await self.doctor({}, "--domain", "stranger.test")
        self.assertEqual(code, 2)
        self.assertIn("stranger.test is no domain of ours (example.test, other.test)", text)

    async def test_dns_that_is_not_there(self) -> None:
        await self.server.stop()
        findings, code = await self.findings({}, "--address", "192.0.2.1", "--domain", "example.test")
        self.assertEqual(code, 2)
        self.assertIn("it does not answer", findings[0]["fact"])
