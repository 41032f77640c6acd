"""The argument of XCLIENT."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from mailgw.mail.reply import Refuse
from mailgw.smtp import xclient
from mailgw.smtp.events import Xclient


class ParseTests(SynchronousTestCase):
    def refused(self, argument: str) -> int:
        return self.assertRaises(Refuse, xclient.parse, argument).reply.code

    def test_every_attribute(self) -> None:
        self.assertEqual(
            xclient.parse(
                "NAME=spike.example ADDR=192.0.2.7 PORT=40000 PROTO=ESMTP HELO=me+20too "
                "DESTADDR=198.51.100.1 DESTPORT=25"
            ),
            Xclient("spike.example", "192.0.2.7", 40000, "ESMTP", "me too", "198.51.100.1", 25),
        )

    def test_names_and_special_values_in_any_case(self) -> None:
        event = xclient.parse("name=[unavailable] helo=[TempUnavail] addr=192.0.2.7 proto=smtp login=[UNAVAILABLE]")
        self.assertEqual(event, Xclient(address="192.0.2.7", protocol="smtp"))

    def test_ipv6(self) -> None:
        for text in ("IPV6:2001:DB8::7", "ipv6:2001:db8:0::7", "2001:db8::7"):
            self.assertEqual(xclient.parse(f"ADDR={text}").address, "2001:db8::7")
        self.assertEqual(xclient.parse("ADDR=IPV6:::ffff:192.0.2.7").address, "192.0.2.7")

    def test_what_is_refused(self) -> None:
        for argument in (
            "",
            "ADDR",
            "ADDR=",
            "ADDR=here",
            "ADDR=[192.0.2.7]",
            "ADDR=[UNAVAILABLE]",
            "ADDR=IPV6:192.0.2.7.1",
            "ADDR=192.0.2.7 ADDR=192.0.2.8",
            "PORT=65536",
            "PORT=-1",
            "PORT=\u0661",
            "PROTO=LMTP",
            "HELO=a+0D+0Ab",
            "HELO=" + "x" * 256,
            "COLOUR=red",
            "NAME=\xe4",
        ):
            self.assertEqual(self.refused(argument), 501, argument)

    def test_nobody_is_logged_in_by_a_proxy(self) -> None:
        self.assertEqual(self.refused("ADDR=192.0.2.7 LOGIN=alice"), 550)

    @settings(max_examples=300, deadline=None)
    @given(st.text(alphabet=st.characters(exclude_categories=["Cc", "Cs"]), max_size=60))
    def test_a_value_or_a_refusal(self, text: str) -> None:
        for argument in (text, f"ADDR={text}", f"PORT={text}", f"HELO={text}", f"DESTADDR=IPV6:{text} NAME={text}"):
            try:
                xclient.parse(argument)
            except Refuse as refuse:
                self.assertTrue(refuse.reply.permanent)
