"""ARC: what a chain must be to pass, what a broken one says, and whose seal counts."""

from __future__ import annotations

import time
from pathlib import Path

import dkim
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from mailgw.mail.message import FileContent, Message, head_of
from mailgw.senderauth.arc import INLINE_SETS, MAX_KEYS, Arc, ArcResult, Seal, trusted_seal
from mailgw.senderauth.chain import parse_chain
from tests.fakes import FAIL, FakeResolver
from tests.senderauth.sealing import TIME, chain, seal
from tests.senderauth.signing import CONTENT, ed25519_record, rsa_record
from tests.senderauth.test_dkim import CountingThreads

NAME = "s1._domainkey.lists.example"
OTHER = "s1._domainkey.other.example"


class ArcCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.resolver = FakeResolver({NAME: {"TXT": [rsa_record()]}, OTHER: {"TXT": [rsa_record()]}})
        self.threads = CountingThreads()

    def validate_message(self, message: Message) -> ArcResult:
        arc = Arc(self.resolver, self.threads, lambda: TIME)
        return self.successResultOf(Deferred.fromCoroutine(arc.validate(message)))

    def validate(self, content: bytes) -> ArcResult:
        return self.validate_message(Message.from_bytes(content))

    def assertFails(self, content: bytes, reason: str, result: str = "fail") -> None:
        outcome = self.validate(content)
        self.assertEqual(outcome.result, result, outcome)
        self.assertIn(reason, outcome.reason)
        self.assertEqual(outcome.seals, ())


class ChainTests(ArcCase):
    def test_no_chain(self) -> None:
        self.assertEqual(self.validate(CONTENT), ArcResult("none"))
        self.assertEqual(self.resolver.asked, [])

    def test_good(self) -> None:
        result = self.validate(seal())
        self.assertEqual(result, ArcResult("pass", "", (Seal("lists.example", "pass"),), 0, signs_from=True))

    def test_what_these_tests_seal_is_good_for_another_validator(self) -> None:
        def get_txt(name: bytes, timeout: int = 5) -> bytes:
            return rsa_record().encode()

        status, _, reason = dkim.arc_verify(chain(3), dnsfunc=get_txt)
        self.assertEqual((status, reason), (b"pass", "success"))

    def test_ed25519(self) -> None:
        self.resolver.set(NAME, {"TXT": [ed25519_record()]})
        self.assertEqual(self.validate(seal(algorithm="ed25519-sha256")).result, "pass")

    def test_sealers_from_the_newest(self) -> None:
        result = self.validate(seal(seal(), instance=2, domain="other.example", results="arc=pass; dmarc=fail"))
        self.assertEqual(result.seals, (Seal("other.example", "fail"), Seal("lists.example", "pass")))

    def test_fifty_sets_are_accepted_and_no_more(self) -> None:
        content = chain(50)
        self.assertEqual(self.validate(content).result, "pass")
        self.assertFails(seal(content, instance=51), "more than 50")
        self.assertFails(seal(instance=51), "no instance from 1 to 50")

    def test_changed_body(self) -> None:
        self.assertFails(seal() + b"more\r\n", "ARC-Message-Signature i=1: the body was changed")

    def test_changed_header(self) -> None:
        self.assertFails(seal().replace(b"the minutes\r\nDate", b"another\r\nDate"), "does not match the header")

    def test_second_from_field(self) -> None:
        self.assertFails(seal().replace(b"\r\nFrom:", b"\r\nFrom: eve@example.com\r\nFrom:"), "match the header")

    def test_changed_results(self) -> None:
        changed = seal(results="dmarc=fail").replace(b"dmarc=fail", b"dmarc=pass")
        self.assertFails(changed, "ARC-Seal i=1: the seal does not match")

    def test_changed_results_of_an_older_set(self) -> None:
        content = seal(seal(results="dmarc=fail").replace(b"dmarc=fail", b"dmarc=pass"), instance=2)
        self.assertFails(content, "ARC-Seal i=1: the seal does not match")

    def test_what_was_changed_between_the_sealers(self) -> None:
        """RFC 8617 5.2 step 5: the oldest instance whose message signature holds."""
        footer = b"-- \r\nthe list\r\n"
        content = seal(seal(seal(seal() + footer, instance=2), instance=3), instance=4)
        self.assertEqual(self.validate(content).oldest_pass, 2)
        self.assertEqual(self.validate(chain(4)).oldest_pass, 0)
        self.assertEqual(self.validate(seal(chain(3) + footer, instance=4)).oldest_pass, 4)

    def test_older_message_signature_that_cannot_be_read(self) -> None:
        content = seal(seal(algorithm="rsa-sha256", more=" x=5;"), instance=2)
        self.assertEqual(self.validate(content).oldest_pass, 2)

    def test_structure(self) -> None:
        two = chain(2)
        for content, reason in (
            (two.replace(b"ARC-Seal: i=1", b"X-Seal: i=1"), "there is no arc-seal i=1"),
            (two.replace(b"ARC-Seal: i=2", b"X-Seal: i=2"), "there is no arc-seal i=2"),
            (two.replace(b"ARC-Message-Signature: i=1", b"X: i=1"), "there is no arc-message-signature i=1"),
            (two.replace(b"ARC-Authentication-Results: i=2", b"X: i=2"), "there is no arc-authentication-results"),
            (seal(two, instance=4), "there is no arc-seal i=3"),
            (seal(seal()), "is there twice"),
            (seal(instance=0), "no instance"),
            (seal(instance=100), "no instance"),
            (seal().replace(b"Seal: i=1", b"Seal: i=one"), "ARC-Seal has no instance"),
            (seal().replace(b"Seal: i=1;", b"Seal:"), "ARC-Seal has no instance"),
            (seal().replace(b"Seal: i=1", b"Seal: i=1; i=1"), "i= is there twice"),
            (seal().replace(b"Seal: i=1", b"Seal: =="), "tag=value"),
            (seal().replace(b"Results: i=1;", b"Results: i=1"), "Results has no instance"),
            (seal().replace(b"Results: i=1;", b"Results: lists.example; i=1;"), "Results has no instance"),
        ):
            self.assertFails(content, reason)
        self.assertEqual(self.resolver.asked, [])

    def test_chain_validation_status(self) -> None:
        self.assertFails(seal(cv="pass"), "cv= of the seal i=1")
        self.assertFails(seal(cv="None"), "cv= of the seal i=1")
        self.assertFails(seal(seal(), instance=2, cv="none"), "cv= of the seal i=2")
        self.assertFails(seal().replace(b"cv=none;", b""), "cv= of the seal i=1")
        self.assertFails(seal(seal(), instance=2, cv="fail"), "the seal i=2 says that the chain had failed")
        self.assertFails(seal(seal(cv="fail"), instance=2), "the seal i=1 says that the chain had failed")

    def test_tags(self) -> None:
        self.assertFails(seal(more_in_seal=" h=from;"), "ARC-Seal i=1: the tag h= must not be there")
        self.assertFails(seal(signed="from:arc-seal"), "ARC-Seal must not be signed")
        self.assertFails(seal().replace(b"h=from", b"g=from"), "h= is missing")
        self.assertFails(seal(domain="lists..example"), "d= or s= is not a domain name")
        self.assertFails(seal().replace(b"a=rsa-sha256", b"a=rsa-sha1"), "rsa-sha1 is no longer accepted")
        self.assertFails(seal(more=" x=10;"), "expired")
        self.assertFails(seal(more=" l=5;"), "l= leaves")
        self.assertFails(seal(more=" z=" + "x" * 9000 + ";"), "longer than")
        self.assertFails(seal().replace(f"t={TIME};".encode(), b"t=1 2;"), "t= is not a number")
        self.assertEqual(self.validate(seal(more=" v=9; unknown=1;", more_in_seal=" unknown=1;")).result, "pass")

    def test_comments_around_the_instance_of_the_results(self) -> None:
        content = seal().replace(b"Results: i=1;", b"Results: (a) i (b;) = (c)\r\n 01 ;")
        self.assertFails(content, "ARC-Seal i=1: the seal does not match")  # but it was found


class KeyTests(ArcCase):
    def test_no_key(self) -> None:
        self.resolver.zone.clear()
        self.assertFails(seal(), "there is no key")

    def test_revoked_key(self) -> None:
        self.resolver.set(NAME, {"TXT": ["v=DKIM1; p="]})
        self.assertFails(seal(), "the key was revoked")

    def test_wrong_key(self) -> None:
        self.resolver.set(NAME, {"TXT": [rsa_record(1024)]})
        self.assertFails(seal(), "does not match the header")

    def test_dns_does_not_answer(self) -> None:
        self.resolver.set(NAME, FAIL)
        self.assertFails(seal(), "DNS does not answer", "temperror")

    def test_what_is_broken_for_good_decides_even_when_dns_does_not_answer(self) -> None:
        content = seal(seal(results="dmarc=fail"), instance=2, domain="other.example")
        self.resolver.set(OTHER, FAIL)
        self.assertFails(content, "i=2: the key could not be fetched", "temperror")
        self.assertFails(content.replace(b"dmarc=fail", b"dmarc=pass"), "ARC-Seal i=1: the seal does not match")

    def test_keys_are_asked_for_at_once_and_once(self) -> None:
        content = seal(seal(seal(), instance=2), instance=3, domain="other.example")
        self.resolver.silent = True
        arc = Arc(self.resolver, self.threads, lambda: TIME)
        self.assertNoResult(Deferred.fromCoroutine(arc.validate(Message.from_bytes(content))))
        self.assertEqual(sorted(name for name, _ in self.resolver.asked), [NAME, OTHER])

    def test_keys_of_older_message_signatures_are_bounded(self) -> None:
        """Such a key is not needed to pass: only oldest-pass is not known then."""
        content = chain(MAX_KEYS + 3)
        for n in range(1, MAX_KEYS + 4):  # as if each had been signed with a key of its own
            field = f"ARC-Message-Signature: i={n}; a=rsa-sha256; d=lists.example; s="
            content = content.replace(f"{field}s1".encode(), f"{field}k{n}".encode())
        self.validate(content)
        self.assertEqual(len(self.resolver.asked), MAX_KEYS)


class WorkTests(ArcCase):
    def test_short_chain_runs_in_place(self) -> None:
        self.validate(chain(INLINE_SETS))
        self.assertEqual(self.threads.runs, 0)

    def test_long_chain_runs_in_a_thread(self) -> None:
        self.validate(chain(INLINE_SETS + 1))
        self.assertEqual(self.threads.runs, 1)

    def test_file(self) -> None:
        content = seal(CONTENT + b"x y z\r\n" * 100_000)
        path = Path(self.mktemp())
        path.write_bytes(content)
        message = Message(FileContent(str(path), len(content)), head_of(content))
        self.assertEqual(self.validate_message(message).result, "pass")
        self.assertEqual(self.threads.runs, 1)

    def test_hostile_fields_take_linear_time(self) -> None:
        for value in (b"(" * 200_000, b"(a)" * 60_000, b" " * 200_000, b"(\\" * 100_000, b"i=(" * 60_000):
            before = time.process_time()
            self.assertEqual(self.validate(b"ARC-Authentication-Results: " + value + b"\r\n" + CONTENT).result, "fail")
            self.assertLess(time.process_time() - before, 0.5)

    @settings(max_examples=300, deadline=None)
    @given(st.integers(0, 2200), st.integers(0, 30), st.binary(max_size=30))
    def test_never_raises(self, position: int, removed: int, noise: bytes) -> None:
        content = chain(2)
        spoilt = content[:position] + noise + content[position + removed :]
        self.assertIn(self.validate(spoilt).result, ("none", "pass", "fail"))
        self.assertEqual(self.flushLoggedErrors(), [])

    @settings(max_examples=300, deadline=None)
    @given(
        st.lists(
            st.tuples(
                st.sampled_from([b"ARC-Seal", b"ARC-Message-Signature", b"arc-authentication-results"]),
                st.lists(
                    st.sampled_from([b"i=1;", b"i=2;", b"cv=none;", b"cv=pass;", b"a=rsa-sha256;", b"d=lists.example;"])
                    | st.sampled_from(
                        [b"s=s1;", b"b=AAAA;", b"bh=AAAA;", b"h=from;", b"h=;", b"c=;", b"t=1;", b"(", b'"']
                    )
                    | st.binary(max_size=5),
                ).map(b" ".join),
            ),
            max_size=9,
        )
    )
    def test_never_raises_for_fields_of_any_content(self, fields: list[tuple[bytes, bytes]]) -> None:
        head = b"".join(name + b": " + value + b"\r\n" for name, value in fields)
        self.assertIn(self.validate(head + CONTENT).result, ("none", "fail"))
        self.assertEqual(self.flushLoggedErrors(), [])


class DmarcOfSetTests(SynchronousTestCase):
    def test_what_the_sealer_says_of_dmarc(self) -> None:
        for results, dmarc in (
            ("dkim=pass; dmarc=pass header.from=a.example", "pass"),
            ("dkim=pass;\r\n DMARC = Fail (p=reject)", "fail"),
            ("dmarc/1=fail", "fail"),
            ("spf=pass", ""),
            ("none", ""),
            ('dkim=fail reason="; dmarc=pass"', ""),
            ("dkim=fail (; dmarc=pass)", ""),
            ('dkim=fail (a (b) "; dmarc=pass); dmarc=none', "none"),
            ("dkim=fail (\\); dmarc=pass)", ""),
            ("dmarc=pass; dmarc=fail", "fail"),
            ("x-dmarc=pass", ""),
        ):
            (arc_set,) = parse_chain(Message.from_bytes(seal(results=results)), TIME)
            self.assertEqual(arc_set.dmarc, dmarc, results)


class TrustedSealTests(ArcCase):
    def test_a_trusted_sealer(self) -> None:
        result = self.validate(seal())
        self.assertEqual(trusted_seal(result, ["Lists.Example."]), "lists.example")
        self.assertIsNone(trusted_seal(result, ["example", "other.example", "sub.lists.example"]))
        self.assertIsNone(trusted_seal(result, []))

    def test_a_failing_chain_is_not_trusted(self) -> None:
        self.assertIsNone(trusted_seal(self.validate(seal() + b"more\r\n"), ["lists.example"]))
        self.assertIsNone(trusted_seal(ArcResult("none"), ["lists.example"]))

    def test_the_newest_sealer_must_be_trusted(self) -> None:
        """Whoever comes after a trusted sealer could have written all of the message."""
        result = self.validate(seal(seal(), instance=2, domain="other.example"))
        self.assertIsNone(trusted_seal(result, ["lists.example"]))
        self.assertEqual(trusted_seal(result, ["other.example"]), "other.example")

    def test_a_sealer_that_saw_dmarc_fail_does_not_vouch(self) -> None:
        self.assertIsNone(trusted_seal(self.validate(seal(results="dmarc=fail")), ["lists.example"]))
        result = self.validate(seal(seal(), instance=2, domain="other.example", results="arc=pass; dmarc=fail"))
        self.assertIsNone(trusted_seal(result, ["other.example"]))
        self.assertEqual(trusted_seal(result, ["other.example", "lists.example"]), "lists.example")

    def test_from_must_be_signed(self) -> None:
        result = self.validate(seal(signed="to:subject"))
        self.assertEqual(result.result, "pass")
        self.assertIsNone(trusted_seal(result, ["lists.example"]))
