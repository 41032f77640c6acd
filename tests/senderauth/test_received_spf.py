"""The Received-SPF field (RFC 7208 9.1)."""

from __future__ import annotations

import re
from email import message_from_bytes

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from mailgw.mail.evidence import AuthResult
from mailgw.mail.transaction import Client
from mailgw.senderauth.received_spf import received_spf

CLIENT = Client("S", "mx", "192.0.2.1", helo="mx.example.org")
MAIL_FROM = AuthResult("spf", "pass", (("smtp.mailfrom", "ann@example.org"),))
HELO = AuthResult("spf", "fail", (("smtp.helo", "mx.example.org"),))
# RFC 7208 9.1: result, comment, key-value-list.
VALUE = r'(?:[A-Za-z0-9!#$%&\'*+/=?^_`{|}~.-]+|"(?:[^"\\]|\\.)*")'
FORM = re.compile(rf" (pass|fail|softfail|neutral|none|temperror|permerror) \([^()]*\)((?: [a-z-]+={VALUE};?)+)", re.S)
KNOWN = {"client-ip", "envelope-from", "helo", "problem", "receiver", "identity", "mechanism"}


def read(field: str) -> tuple[str, dict[str, str]]:
    found = FORM.fullmatch(field.replace("\r\n", "").replace("\n", ""))
    assert found is not None, field
    pairs = re.findall(rf"([a-z-]+)=({VALUE})", found[2])
    assert {name for name, _ in pairs} <= KNOWN
    return found[1], dict(pairs)


def fields(*results: AuthResult, client: Client = CLIENT) -> list[str]:
    text = received_spf(results, client, "gw.example")
    return [" " + value for value in message_from_bytes(text + b"\r\n").get_all("Received-SPF", [])]


class ReceivedSpfTests(SynchronousTestCase):
    def test_one_for_each_identity(self) -> None:
        first, second = fields(AuthResult("iprev", "pass"), MAIL_FROM, HELO)
        result, pairs = read(first)
        self.assertEqual((result, pairs["identity"], pairs["client-ip"]), ("pass", "mailfrom", "192.0.2.1"))
        self.assertEqual((pairs["helo"], pairs["receiver"]), ("mx.example.org", "gw.example"))
        self.assertEqual(pairs["envelope-from"], '"ann@example.org"')
        result, pairs = read(second)
        self.assertEqual((result, pairs["identity"]), ("fail", "helo"))
        self.assertNotIn("envelope-from", pairs)

    def test_every_result_has_its_comment(self) -> None:
        for result in ("pass", "fail", "softfail", "neutral", "none", "temperror", "permerror"):
            (field,) = fields(AuthResult("spf", result, (("smtp.mailfrom", "a@b.example"),), "why"))
            name, pairs = read(field)
            self.assertEqual((name, pairs["problem"]), (result, "why"))
            self.assertIn("b.example", field)

    def test_no_check_no_field(self) -> None:
        self.assertEqual(received_spf([AuthResult("dkim", "pass")], CLIENT, "gw.example"), b"")

    def test_hostile_values_stay_in_their_place(self) -> None:
        evil = 'x" receiver=evil) (\r\nReceived-SPF: pass é\\'
        client = Client("S", "mx", "2001:db8::1", helo=evil)
        auth = AuthResult("spf", "permerror", (("smtp.mailfrom", f"{evil}@{evil}"),), evil * 20)
        text = received_spf([auth], client, "gw.example")
        self.assertEqual(text.count(b"\r\n"), text.count(b"\n"))
        (field,) = fields(auth, client=client)
        result, pairs = read(field)
        self.assertEqual((result, pairs["receiver"], pairs["client-ip"]), ("permerror", "gw.example", '"2001:db8::1"'))

    def test_lines_are_folded(self) -> None:
        for line in received_spf([MAIL_FROM, HELO], CLIENT, "gw.example").split(b"\r\n"):
            self.assertLessEqual(len(line), 78)

    @settings(max_examples=200, deadline=None)
    @given(st.text(max_size=400), st.text(max_size=400), st.text(max_size=400))
    def test_any_values(self, helo: str, sender: str, reason: str) -> None:
        client = Client("S", "mx", "192.0.2.1", helo=helo)
        auth = AuthResult("spf", "temperror", (("smtp.mailfrom", sender),), reason)
        text = received_spf([auth], client, "gw.example")
        self.assertTrue(text.isascii())
        self.assertEqual(len(text.split(b"\r\n\r\n")), 1)
        (field,) = fields(auth, client=client)
        self.assertEqual(read(field)[1]["receiver"], "gw.example")
