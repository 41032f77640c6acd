"""The parameters of DSN: RFC 3461 4, RFC 6533 3."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from mailgw.smtp import dsn


class XtextTests(SynchronousTestCase):
    """RFC 3461 4"""

    def test_there_and_back(self) -> None:
        self.assertEqual(dsn.xtext_encode("a+b=c d"), "a+2Bb+3Dc+20d")
        text = "".join(map(chr, range(128)))
        self.assertEqual(dsn.xtext_decode(dsn.xtext_encode(text)), text)

    def test_not_xtext(self) -> None:
        for text in ("+", "+2", "+2b", "a b", "a=b", "ä"):
            self.assertRaises(ValueError, dsn.xtext_decode, text)


class NotifyTests(SynchronousTestCase):
    """RFC 3461 4.1"""

    def test_never_stands_alone(self) -> None:
        self.assertEqual(dsn.notify("never"), {"NEVER"})
        for value in ("NEVER,SUCCESS", "FAILURE,NEVER"):
            self.assertRaises(ValueError, dsn.notify, value)

    def test_lists(self) -> None:
        self.assertEqual(dsn.notify("Success,FAILURE,delay"), {"SUCCESS", "FAILURE", "DELAY"})
        for value in ("", ",", "SUCCESS,", "ALWAYS", "SUCCESS, DELAY"):
            self.assertRaises(ValueError, dsn.notify, value)


class EnvidTests(SynchronousTestCase):
    """RFC 3461 4.4"""

    def test_printable_only(self) -> None:
        self.assertEqual(dsn.envid("QQ314159+20x"), "QQ314159 x")
        for value in ("", "+0A", "+0D+0Ax", "+7F", "+80", "a b", "a=b"):
            self.assertRaises(ValueError, dsn.envid, value)

    def test_at_most_a_hundred_characters_as_sent(self) -> None:
        self.assertEqual(len(dsn.envid("+20" * 33)), 33)
        self.assertRaises(ValueError, dsn.envid, "+20" * 34)


class OrcptTests(SynchronousTestCase):
    def test_any_type(self) -> None:
        """RFC 3461 4.2: the type is the sender's business."""
        self.assertEqual(dsn.orcpt("rfc822;Bob+2B1@Big-Bucks.com", False), "rfc822;Bob+1@Big-Bucks.com")
        self.assertEqual(dsn.orcpt("X400;/S+3DBob/", False), "X400;/S=Bob/")

    def test_refused(self) -> None:
        for value in ("a@b", ";a", "rfc822;", "rfc 822;a", "rfc822;ä@b", "rfc822;+0Ax", "rfc822;" + "a" * 501):
            self.assertRaises(ValueError, dsn.orcpt, value, True)

    def test_utf8(self) -> None:
        """RFC 6533 3: encoded at any time, as it is with SMTPUTF8 only."""
        for value in (r"utf-8;j\x{F6}rg@b\x{FC}cher.example", r"UTF-8;j\x{00F6}rg@b\x{FC}cher.example"):
            self.assertEqual(dsn.orcpt(value, False)[6:], "jörg@bücher.example")
        self.assertEqual(dsn.orcpt(r"utf-8;\x{1F600}\x{2B}ö@x", True), "utf-8;😀+ö@x")
        self.assertRaises(ValueError, dsn.orcpt, "utf-8;jörg@x", False)

    def test_utf8_octets_as_xtext(self) -> None:
        """As Postfix 3.7 writes it."""
        self.assertEqual(dsn.orcpt("rfc822;j+C3+B6rg@example.test", False), "utf-8;jörg@example.test")
        for value in ("rfc822;j+C3rg@x", "rfc822;+C3+B6+0A", "x;+C3+B6", "rfc822;" + "+C3+B6" * 84):
            self.assertRaises(ValueError, dsn.orcpt, value, True)

    def test_bad_utf8(self) -> None:
        for address in ("", "a+b", r"a\b", r"\x{A}", r"\x{0A}", r"\x{D800}x", r"\x{110000}", r"\x{fc}", "a" * 501):
            self.assertRaises(ValueError, dsn.orcpt, f"utf-8;{address}", True)

    def test_there_and_back(self) -> None:
        for text in ("rfc822;a b+c=d@x", "utf-8;jörg+x=\\y@bücher.example", "utf-8;a@b"):
            for smtputf8 in (True, False):
                encoded = dsn.orcpt_encode(text, smtputf8)
                self.assertEqual(dsn.orcpt(encoded, smtputf8), text)
                self.assertTrue(smtputf8 or encoded.isascii())
        self.assertEqual(dsn.orcpt_encode("utf-8;jörg@x", True), "utf-8;jörg@x")
        self.assertEqual(dsn.orcpt_encode("utf-8;jörg@x", False), r"utf-8;j\x{F6}rg@x")
