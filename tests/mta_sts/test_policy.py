"""The record and the policy, by RFC 8461 3.1, 3.2 and 4.1."""

from __future__ import annotations

import time

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from mailgw.mta_sts.policy import MAX_AGE, Policy, PolicyError, parse_policy
from mailgw.mta_sts.record import RecordError, policy_id

# The example of RFC 8461 3.2.
EXAMPLE = b"""\
version: STSv1
mode: enforce
mx: mail.example.com
mx: *.example.net
mx: backupmx.example.com
max_age: 604800
"""


class PolicyTests(SynchronousTestCase):
    def assertNone(self, body: bytes, reason: str) -> None:
        with self.assertRaises(PolicyError) as caught:
            parse_policy(body)
        self.assertIn(reason, str(caught.exception))

    def test_the_example(self) -> None:
        policy = Policy("enforce", ("mail.example.com", "*.example.net", "backupmx.example.com"), 604800)
        self.assertEqual(parse_policy(EXAMPLE), policy)
        self.assertEqual(parse_policy(EXAMPLE.replace(b"\n", b"\r\n")), policy)
        self.assertEqual(parse_policy(EXAMPLE.removesuffix(b"\n").replace(b": ", b":\t ")), policy)

    def test_its_lines(self) -> None:
        self.assertEqual("\n".join(parse_policy(EXAMPLE).lines).encode() + b"\n", EXAMPLE)

    def test_unknown_fields_are_passed_over(self) -> None:
        self.assertEqual(parse_policy(EXAMPLE + "x-note: grüß dich\n".encode()), parse_policy(EXAMPLE))

    def test_the_first_of_a_field_counts(self) -> None:
        policy = parse_policy(EXAMPLE + b"mode: none\nmax_age: 1\nversion: STSv2\n")
        self.assertEqual((policy.mode, policy.max_age), ("enforce", 604800))

    def test_ages(self) -> None:
        for text, age in (("0", 0), ("86400", 86400), ("31557600", MAX_AGE), ("9999999999", MAX_AGE)):
            self.assertEqual(parse_policy(EXAMPLE.replace(b"604800", text.encode())).max_age, age)
        for wrong in (b"", b"-1", b"1.5", b"1d", b"99999999999", "٣".encode()):
            self.assertNone(EXAMPLE.replace(b"604800", wrong), "max_age")
        self.assertNone(EXAMPLE.replace(b"max_age: 604800\n", b""), "no max_age")

    def test_modes(self) -> None:
        self.assertEqual(parse_policy(EXAMPLE.replace(b"enforce", b"testing")).mode, "testing")
        self.assertEqual(parse_policy(b"version: STSv1\nmode: none\nmax_age: 0").mode, "none")
        for wrong in (b"forced", b"Enforce", b""):
            self.assertNone(EXAMPLE.replace(b"enforce", wrong), "mode")
        self.assertNone(b"version: STSv1\nmax_age: 1\nmx: a.example\n", "no mode")

    def test_no_host_is_no_policy(self) -> None:
        """With nobody named nobody could be delivered to: that is not what is meant."""
        for mode in ("enforce", "testing"):
            self.assertNone(f"version: STSv1\nmode: {mode}\nmax_age: 86400\n".encode(), "names a host")

    def test_what_is_no_policy(self) -> None:
        self.assertNone(b"", "no `version: STSv1`")
        self.assertNone(EXAMPLE.replace(b"STSv1", b"STSv2"), "no `version: STSv1`")
        self.assertNone(b"<!DOCTYPE html>\n<html>\n", "line 1 is not")
        self.assertNone(EXAMPLE + b"\xff\n", "not UTF-8")
        for wrong in ("mail..example", "*", "*.*.example", "a.*.example", "[192.0.2.1]", "a b", "é.example", ""):
            self.assertNone(EXAMPLE.replace(b"*.example.net", wrong.encode()), "line 4 names no host")

    def test_names(self) -> None:
        """RFC 8461 4.1: a wildcard stands for the whole leftmost label, and for one."""
        policy = parse_policy(EXAMPLE.replace(b"mail.example.com", b"Mail.Example.COM."))
        for host in ("mail.example.com", "MAIL.example.com", "mx.example.net"):
            self.assertTrue(policy.names(host), host)
        for host in ("example.net", "a.mx.example.net", "mail.example.com.evil.example", "example.com", ""):
            self.assertFalse(policy.names(host), host)

    def test_as_long_as_can_be(self) -> None:
        """What is of the wrong form is found out at once: patterns that tried each space anew took 14 seconds."""
        begun = time.process_time()
        spaces = b" " * 60_000
        self.assertNone(EXAMPLE + b"mx: a" + spaces + b"b\n", "names no host")
        self.assertNone(EXAMPLE + b"x" + spaces + b"y\n", "is not")
        self.assertEqual(parse_policy(EXAMPLE + b"x:" + spaces + b"y" + spaces), parse_policy(EXAMPLE))
        for record in (b"v=STSv1; id=1" + spaces + b"\0", b"v=STSv1;" + spaces, b"v=STSv1; a=" + b"b" * 60_000 + b" c"):
            with self.assertRaises(RecordError):
                policy_id([record])
        self.assertEqual(policy_id([b"v=STSv1; id=1" + spaces]), "1")
        self.assertLess(time.process_time() - begun, 2.0)

    @given(st.binary(max_size=200) | st.text(alphabet="versionSTv1mdax_g: \r\n*.0").map(str.encode))
    def test_anything_is_a_policy_or_none(self, body: bytes) -> None:
        try:
            policy = parse_policy(body)
        except PolicyError:
            return
        self.assertEqual(parse_policy("\n".join(policy.lines).encode()), policy)


class RecordTests(SynchronousTestCase):
    def test_ids(self) -> None:
        for record in (
            b"v=STSv1; id=20160831085700Z;",
            b"v=STSv1;id=20160831085700Z",
            b"v=STSv1 ; \t id=20160831085700Z ; ",
            b"v=STSv1; a.b=c:d; id=20160831085700Z; x_y-z=1",
        ):
            self.assertEqual(policy_id([record]), "20160831085700Z", record)

    def test_other_records_are_discarded(self) -> None:
        self.assertEqual(policy_id([b"v=spf1 -all", b"v=STSv10; id=2", b" v=STSv1; id=3", b"v=stsv1; id=4"]), "")
        self.assertEqual(policy_id([b"hello", b"v=STSv1; id=1"]), "1")
        self.assertEqual(policy_id([]), "")

    def test_what_cannot_be_used(self) -> None:
        for record in (
            b"v=STSv1",
            b"v=STSv1;",
            b"v=STSv1; id=",
            b"v=STSv1; id=a-b",
            b"v=STSv1; id=" + b"1" * 33,
            b"v=STSv1; id = 1",
            b"v=STSv1; id=1 2",
            b"v=STSv1; nonsense; id=1",
            b"v=STSv1; xid=1",
        ):
            with self.assertRaises(RecordError):
                policy_id([record])
        with self.assertRaises(RecordError):
            policy_id([b"v=STSv1; id=1", b"v=STSv1; id=1"])
