"""Which TLSA records count, and which certificates fit them (RFC 6698, 7671, 7672)."""

from __future__ import annotations

import hashlib

from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from twisted.trial.unittest import SynchronousTestCase

from mailgw.delivery.tls.dane import NotAuthentic, authenticate
from mailgw.delivery.tls.tlsa import presented, shown, usable
from mailgw.dns.interface import TlsaRecord
from mailgw.mail.tlsresult import FailureType
from tests.certificates import FUTURE, PAST, Identity, issue

HOST = "mx.example.org"
ROOT = issue(common_name="Root", authority=True)
BETWEEN = issue(common_name="Between", by=ROOT, authority=True)
GOOD = issue([HOST], BETWEEN)
OTHER = issue(["other.example"])


def record(identity: Identity, usage: int, selector: int, matching: int) -> TlsaRecord:
    selected = identity.der if selector == 0 else identity.spki
    data = {0: selected, 1: hashlib.sha256(selected).digest(), 2: hashlib.sha512(selected).digest()}[matching]
    return TlsaRecord(usage, selector, matching, data)


class UsableTests(SynchronousTestCase):
    def test_every_kind_that_smtp_knows(self) -> None:
        for usage in (2, 3):
            for selector in (0, 1):
                for matching in (0, 1, 2):
                    kind = record(GOOD, usage, selector, matching)
                    self.assertEqual(usable([kind]), (kind,))

    def test_usages_0_and_1_mean_nothing(self) -> None:
        """RFC 7672 3.1.3."""
        self.assertEqual(usable([record(GOOD, 0, 1, 1), record(GOOD, 1, 0, 1), record(GOOD, 255, 1, 1)]), ())

    def test_unknown_selectors_and_digests(self) -> None:
        data = bytes(32)
        kinds = [TlsaRecord(3, 2, 1, data), TlsaRecord(3, 1, 3, data), TlsaRecord(3, 255, 255, data)]
        self.assertEqual(usable(kinds), ())

    def test_what_is_malformed(self) -> None:
        for data in (b"", bytes(31), bytes(33), bytes(64)):
            self.assertEqual(usable([TlsaRecord(3, 1, 1, data)]), (), data)
        self.assertEqual(usable([TlsaRecord(3, 1, 2, bytes(32))]), ())
        for selector in (0, 1):
            for data in (b"", b"nonsense", GOOD.der[:-1], b"\x30\x80\x00\x00"):
                self.assertEqual(usable([TlsaRecord(2, selector, 0, data)]), (), data)

    def test_only_the_strongest_digest_counts(self) -> None:
        """RFC 7671 9: for each usage and selector by itself; full data always count."""
        weak, strong, full = (record(GOOD, 3, 1, matching) for matching in (1, 2, 0))
        others = record(GOOD, 3, 0, 1), record(GOOD, 2, 1, 1)
        self.assertEqual(usable([weak, strong, full, *others]), (strong, full, *others))
        malformed = TlsaRecord(3, 1, 2, b"short")
        self.assertEqual(usable([weak, malformed]), (weak,))

    def test_a_flood_of_records(self) -> None:
        records = [TlsaRecord(3, 1, 1, number.to_bytes(32)) for number in range(1000)]
        self.assertEqual(len(usable(records)), 100)

    def test_as_a_zone_file_has_it(self) -> None:
        self.assertEqual(presented(TlsaRecord(3, 1, 1, bytes(range(32)))), "3 1 1 " + bytes(range(32)).hex())
        text = shown([TlsaRecord(3, 1, 1, bytes(32))] * 9)
        self.assertIn("3 1 1 000000", text)
        self.assertTrue(text.endswith("and 4 more"))


class DaneCase(SynchronousTestCase):
    def accepted(self, *records: TlsaRecord, by: Identity, names: tuple[str, ...] = (HOST,)) -> TlsaRecord:
        return authenticate(records, by.chain, names).record

    def refused(
        self, failure: FailureType, *records: TlsaRecord, by: Identity, names: tuple[str, ...] = (HOST,)
    ) -> str:
        with self.assertRaises(NotAuthentic) as caught:
            authenticate(records, by.chain, names)
        self.assertEqual(caught.exception.failure, failure)
        return str(caught.exception)


class EndEntityTests(DaneCase):
    """Usage 3: the certificate of the host itself."""

    def test_by_certificate_and_key_in_full_and_by_digest(self) -> None:
        for selector in (0, 1):
            for matching in (0, 1, 2):
                kind = record(GOOD, 3, selector, matching)
                self.assertEqual(self.accepted(kind, by=GOOD), kind)
                self.refused("tlsa-invalid", kind, by=OTHER)

    def test_names_and_dates_mean_nothing(self) -> None:
        """RFC 7672 3.1.1, RFC 7671 5.1."""
        for certificate in (
            OTHER,
            issue([HOST], valid=PAST),
            issue([HOST], valid=FUTURE),
            issue((), common_name="x"),
            issue([HOST], issue(authority=True, valid=PAST)),
        ):
            self.accepted(record(certificate, 3, 1, 1), by=certificate)

    def test_a_certificate_above_it_is_not_the_hosts(self) -> None:
        self.refused("tlsa-invalid", record(BETWEEN, 3, 1, 1), by=GOOD)

    def test_the_old_key_and_the_next(self) -> None:
        """While keys roll over both are published (RFC 7671 8.1)."""
        old, new = record(OTHER, 3, 1, 1), record(GOOD, 3, 1, 1)
        self.assertEqual(self.accepted(old, new, by=GOOD), new)
        self.assertEqual(self.accepted(old, new, by=OTHER), old)

    def test_what_would_fit_is_said(self) -> None:
        reason = self.refused("tlsa-invalid", record(OTHER, 3, 1, 1), by=GOOD)
        self.assertIn("3 1 1 " + hashlib.sha256(GOOD.spki).hexdigest(), reason)


class TrustAnchorTests(DaneCase):
    """Usage 2: an authority above the host."""

    def test_by_certificate_and_key_in_full_and_by_digest(self) -> None:
        for anchor in (ROOT, BETWEEN):
            for selector in (0, 1):
                for matching in (0, 1, 2):
                    kind = record(anchor, 2, selector, matching)
                    self.assertEqual(self.accepted(kind, by=GOOD), kind)
                    self.refused("tlsa-invalid" if matching or selector else "certificate-not-trusted", kind, by=OTHER)

    def test_an_anchor_that_is_not_sent(self) -> None:
        """RFC 7671 5.2.2, 5.2.3: a digest alone does not do, what stands in DNS in full does."""
        without_root = Identity(GOOD.certificate, GOOD.key, GOOD.above[:1])
        for selector in (0, 1):
            self.accepted(record(ROOT, 2, selector, 0), by=without_root)
            self.refused("tlsa-invalid", record(ROOT, 2, selector, 1), by=without_root)
        alone = Identity(issue([HOST], ROOT).certificate, GOOD.key)
        for selector in (0, 1):
            self.accepted(record(ROOT, 2, selector, 0), by=alone)

    def test_a_key_in_full_that_signed_nothing(self) -> None:
        alone = Identity(issue([HOST], ROOT).certificate, GOOD.key)
        other_rsa = rsa.generate_private_key(65537, 2048).public_key()
        other_edwards = ed25519.Ed25519PrivateKey.generate().public_key()
        self.refused("tlsa-invalid", record(BETWEEN, 2, 1, 0), by=alone)
        for key in (other_rsa, other_edwards):
            data = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
            self.refused("tlsa-invalid", TlsaRecord(2, 1, 0, data), by=alone)

    def test_the_hosts_own_certificate_is_no_anchor_by_digest(self) -> None:
        self.refused("tlsa-invalid", record(GOOD, 2, 1, 1), by=GOOD)

    def test_an_anchor_beside_the_chain(self) -> None:
        """Anybody can send the anchor along: it has to have signed."""
        pretender = Identity(OTHER.certificate, OTHER.key, (ROOT.certificate,))
        self.refused("certificate-not-trusted", record(ROOT, 2, 1, 1), by=pretender)

    def test_who_may_not_sign(self) -> None:
        """A host below the anchor is no authority over others."""
        below = issue(["host.example.org"], ROOT)
        self.refused("certificate-not-trusted", record(ROOT, 2, 1, 1), by=issue([HOST], below))

    def test_dates_count(self) -> None:
        for valid in (PAST, FUTURE):
            reason = self.refused("certificate-expired", record(ROOT, 2, 0, 1), by=issue([HOST], ROOT, valid=valid))
            self.assertIn("has expired", reason)
            between = issue(common_name="Between", by=ROOT, authority=True, valid=valid)
            self.refused("certificate-expired", record(ROOT, 2, 0, 1), by=issue([HOST], between))

    def test_names_count(self) -> None:
        anchor = record(ROOT, 2, 0, 1)
        reason = self.refused("certificate-host-mismatch", anchor, by=issue(["mx2.example.org"], ROOT))
        self.assertIn(HOST, reason)
        for names in (["MX.example.ORG"], ["*.example.org"], ["a.example", HOST]):
            self.accepted(anchor, by=issue(names, ROOT))
        for names in (["*.org"], ["example.org"], ["*.mx.example.org"], ["m*.example.org"], ["*.*.org", "*"]):
            self.refused("certificate-host-mismatch", anchor, by=issue(names, ROOT))

    def test_the_name_of_the_recipient_domain_will_do_where_it_is_given(self) -> None:
        """RFC 7672 3.2.2."""
        names = (HOST, "example.org")
        proof = authenticate([record(ROOT, 2, 0, 1)], issue(["example.org"], ROOT).chain, names)
        self.assertEqual(proof.name, "example.org")
        proof = authenticate([record(ROOT, 2, 0, 1)], issue(["example.org", HOST], ROOT).chain, names)
        self.assertEqual(proof.name, HOST)

    def test_the_common_name_counts_where_there_is_no_other(self) -> None:
        """RFC 7672 3.2.3."""
        anchor = record(ROOT, 2, 0, 1)
        self.accepted(anchor, by=issue((), ROOT, common_name=HOST))
        self.refused("certificate-host-mismatch", anchor, by=issue(["x.example"], ROOT, common_name=HOST))

    def test_a_record_for_the_host_beside_one_for_its_anchor(self) -> None:
        expired = issue([HOST], ROOT, valid=PAST)
        own = record(expired, 3, 1, 1)
        self.assertEqual(self.accepted(record(ROOT, 2, 0, 1), own, by=expired), own)
