"""Authentication-Results: what we write is RFC 8601, and what only claims to be ours is found."""

from __future__ import annotations

import re
import time

from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from mailgw.mail.evidence import AuthResult
from mailgw.mail.message import Message, head_of
from mailgw.senderauth.results import authentication_results, forged

# RFC 8601 2.2, unfolded, without comments, as this project's own writer may use it.
VALUE = r'(?:[!#$%&\'*+\-.0-9A-Z^_`a-z{|}~]+|"(?:[ !#-\[\]-~]|\\[ -~])*")'
ADDRESS = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.\-]*@[A-Za-z0-9._\-]+"
RESULT = rf"[a-z-]+=[a-z]+(?: reason={VALUE})?(?: [a-z]+\.[a-z]+=(?:{ADDRESS}|{VALUE}))*"
FIELD = re.compile(rf"Authentication-Results: {VALUE}(?:; none|(?:; {RESULT})+)\r\n")


class WriterTests(SynchronousTestCase):
    def test_none(self) -> None:
        self.assertEqual(authentication_results("mx.example", []), b"Authentication-Results: mx.example;\r\n none\r\n")

    def test_results(self) -> None:
        written = authentication_results(
            "mx.example",
            [
                AuthResult("spf", "pass", (("smtp.mailfrom", "ann@example.org"),)),
                AuthResult("iprev", "pass", (("policy.iprev", "2001:db8::1"),)),
                AuthResult(
                    "dkim",
                    "fail",
                    (("header.d", "example.org"), ("header.s", "s1"), ("header.b", "a/b=+Z12")),
                    "the body was changed: its hash does not match",
                ),
            ],
        )
        self.assertEqual(
            written.decode(),
            "Authentication-Results: mx.example;\r\n"
            " spf=pass smtp.mailfrom=ann@example.org;\r\n"
            ' iprev=pass policy.iprev="2001:db8::1";\r\n'
            ' dkim=fail reason="the body was changed: its hash does not match"\r\n'
            ' header.d=example.org header.s=s1 header.b="a/b=+Z12"\r\n',
        )

    def test_no_value_can_break_out(self) -> None:
        evil = 'x"; dkim=pass header.d=bank.example\r\nX-Evil: 1\r\n\r\nbody\x00\u2028(\\'
        written = authentication_results("mx.example", [AuthResult("spf", "fail", (("smtp.helo", evil),), evil)])
        message = Message.from_bytes(written + b"\r\n")
        self.assertEqual([field.name for field in message.fields], ["Authentication-Results"])
        self.assertTrue(FIELD.fullmatch(written.replace(b"\r\n ", b" ").decode()))

    @settings(max_examples=300, deadline=None)
    @given(
        st.lists(
            st.tuples(st.text(max_size=400), st.text(max_size=100), st.text(st.characters(max_codepoint=127))),
            max_size=5,
        )
    )
    def test_any_values(self, values: list[tuple[str, str, str]]) -> None:
        results = [
            AuthResult("spf", "fail", (("smtp.mailfrom", address), ("header.d", domain)), reason)
            for address, domain, reason in values
        ]
        written = authentication_results("mx.example", results)
        self.assertEqual(len(Message.from_bytes(written + b"\r\n").fields), 1)
        self.assertRegex(written.replace(b"\r\n ", b" ").decode("ascii"), FIELD)
        for line in written.split(b"\r\n")[1:-1]:
            self.assertTrue(line.strip(), written)  # a line of nothing but space would end the header for some

    def test_a_comment_stands_behind_the_result_and_cannot_end_it(self) -> None:
        result = AuthResult("iprev", "pass", (("policy.iprev", "192.0.2.1"),), comment="mail.example.net")
        written = authentication_results("mx.example", [result])
        self.assertIn(b" iprev=pass (mail.example.net) policy.iprev=192.0.2.1\r\n", written)
        evil = authentication_results("mx.example", [evolve(result, comment="x) dkim=pass (\\\r\n\u2028")])
        self.assertIn(b" iprev=pass (x? dkim=pass ?????) policy.iprev", evil)

    def test_lines_stay_below_78_columns(self) -> None:
        results = [
            AuthResult("dkim", "pass", (("header.d", f"d{n}.example.org"), ("header.s", "selector" * 3)), "why " * 20)
            for n in range(5)
        ]
        for line in authentication_results("mx.example", results).split(b"\r\n"):
            self.assertLess(len(line), 78)


class ForgedTests(SynchronousTestCase):
    def cut(self, header: bytes, authserv_id: str = "mx.example") -> bytes:
        """Give the header without what is found to be forged."""
        message = Message.from_bytes(header + b"\r\nbody\r\n")
        cuts = forged(message, authserv_id)
        self.assertEqual(list(cuts), sorted(cuts))
        return b"".join(Message(message.content, message.head, cuts=cuts).output())[: -len(b"\r\nbody\r\n")]

    def test_an_id_in_very_many_pieces(self) -> None:
        for piece in ("()", "(a) ", '"" ', " \t", "x "):
            hidden = f"Authentication-Results: {piece * 60_000}mx.(a)example; spf=pass\r\n".encode()
            started = time.process_time()
            self.assertEqual(self.cut(hidden + b"Subject: x\r\n"), b"Subject: x\r\n")
            self.assertLess(time.process_time() - started, 0.1)

    def test_ours_is_cut_in_every_spelling(self) -> None:
        for value in (
            b" mx.example; spf=pass",
            b" MX.Example; spf=pass",
            b"mx.example;spf=pass",
            b"  mx.example 1 ; spf=pass",
            b" mx.example",
            b"\r\n mx.example; spf=pass",
            b"\r\n\t\r\n mx.example; spf=pass",
            b' "mx.example"; spf=pass',
            b' "mx\\.example"; spf=pass',
            b" (a comment) mx.example; spf=pass",
            b' (nested (comment; \\) ) " ) mx.example (more) 1; spf=pass',
            b" mx.(x)example; spf=pass",
            b" mx.\r\n example; spf=pass",
            b" mx.example.; spf=pass",
            b" mx.example/1; spf=pass",
        ):
            for name in (b"Authentication-Results:", b"authentication-results:", b"AUTHENTICATION-RESULTS \t:"):
                header = b"From: a@b\r\n" + name + value + b"\r\nSubject: x\r\n"
                self.assertEqual(self.cut(header), b"From: a@b\r\nSubject: x\r\n", header)

    def test_what_cannot_be_read_is_cut_when_it_holds_our_id(self) -> None:
        for value in (
            b" (mx.example; spf=pass",
            b' "mx.example; spf=pass',
            b" ) mx.example; x",
            b"; mx.example",
            b" \xff(mx.example",
        ):
            self.assertEqual(self.cut(b"Authentication-Results:" + value + b"\r\n"), b"", value)

    def test_others_stay(self) -> None:
        header = (
            b"Authentication-Results: other.example; spf=pass smtp.mailfrom=mx.example\r\n"
            b"Authentication-Results: mx.example.org; spf=pass\r\n"
            b"Authentication-Results: notmx.example; spf=pass\r\n"
            b"Authentication-Results: (mx.example) other.example; spf=pass\r\n"
            b"Authentication-Results: (unreadable other.example; spf=pass\r\n"
            b"ARC-Authentication-Results: i=1; mx.example; spf=pass\r\n"
            b"X-Authentication-Results: mx.example; spf=pass\r\n"
            b"Subject: Authentication-Results: mx.example; spf=pass\r\n"
            b" Authentication-Results: mx.example; spf=pass\r\n"
        )
        self.assertEqual(self.cut(header), header)

    def test_several(self) -> None:
        ours = b"Authentication-Results: mx.example; spf=pass\r\n x=y\r\n"
        other = b"Authentication-Results: other.example; spf=pass\r\n"
        self.assertEqual(self.cut(ours + other + ours + b"From: a\r\n" + ours), other + b"From: a\r\n")

    def test_field_behind_a_lone_line_end(self) -> None:
        """A reader that takes a lone CR or LF for a line end would see our field there."""
        for end in (b"\r", b"\n"):
            header = b"Subject: x" + end + b"Authentication-Results: mx.example; spf=pass\r\nFrom: a\r\n"
            self.assertNotIn(b"mx.example", self.cut(header))

    def test_what_we_write_is_found(self) -> None:
        for authserv_id in ("mx.example", "mx_1.example", "bücher.example", "a b"):
            written = authentication_results(authserv_id, [AuthResult("spf", "pass")])
            self.assertEqual(self.cut(written, authserv_id), b"", authserv_id)

    def test_internationalised_id(self) -> None:
        header = "Authentication-Results: bücher.example; spf=pass\r\n".encode()
        self.assertEqual(self.cut(header, "xn--bcher-kva.example"), b"")

    def test_header_without_an_end(self) -> None:
        data = b"Authentication-Results: mx.example; spf=pass"
        message = Message.from_bytes(data)
        self.assertEqual(forged(message, "mx.example"), ((0, len(data)),))

    @settings(max_examples=300, deadline=None)
    @given(
        st.lists(st.sampled_from([b"mx.example", b"(", b")", b'"', b"\\", b";", b" ", b"\r\n ", b"x", b"=", b"\xff"]))
    )
    def test_any_value(self, parts: list[bytes]) -> None:
        data = b"A: b\r\nAuthentication-Results:" + b"".join(parts) + b"\r\nC: d\r\n\r\n"
        message = Message(Message.from_bytes(data).content, head_of(data))
        for start, end in forged(message, "mx.example"):
            self.assertEqual(start, 6)
            self.assertEqual(data[end:], b"C: d\r\n\r\n")

    def test_hostile_fields_take_linear_time(self) -> None:
        for value in (
            b"(" * 250_000,
            b'"' * 250_000,
            b"\\" * 250_000,
            b"(\\" * 120_000,
            b"a (b)" * 50_000,
            b"\r\n " * 80_000,
        ):
            before = time.process_time()
            self.cut(b"Authentication-Results:" + value + b"\r\n")
            self.assertLess(time.process_time() - before, 0.5)
