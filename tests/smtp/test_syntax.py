"""The arguments of commands."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from mailgw.mail.address import Mailbox
from mailgw.mail.reply import Refuse
from mailgw.smtp import syntax
from mailgw.smtp.events import Auth, AuthResponse, Hello, Invalid, Mail, Rcpt
from mailgw.smtp.extensions import Extensions

ALL = Extensions(size=1000, auth=("PLAIN", "LOGIN"), dsn=True)
PLAIN = Extensions(size=None, eightbitmime=False, smtputf8=False)


class RefusedMixin(SynchronousTestCase):
    def refused(self, code: int, status: str, function: object, *args: object) -> str:
        """Give the text of the refusal."""
        assert callable(function)
        reply = self.assertRaises(Refuse, function, *args).reply
        self.assertEqual((reply.code, reply.status), (code, status), reply.text)
        return reply.text


class MailTests(RefusedMixin):
    def mail(self, argument: str, extensions: Extensions = ALL) -> Mail:
        return syntax.mail(argument, extensions, 1000)

    def refused_mail(self, code: int, status: str, argument: str, extensions: Extensions = ALL) -> str:
        return self.refused(code, status, self.mail, argument, extensions)

    def test_paths(self) -> None:
        for path, mailbox in (
            ("<a@example.org>", Mailbox("a", "example.org")),
            ("<>", None),
            ("<a.b+c@EXAMPLE.org>", Mailbox("a.b+c", "example.org")),
            ('<"a b"@example.org>', Mailbox("a b", "example.org")),
            ('<"a>b"@example.org>', Mailbox("a>b", "example.org")),
            ('<"a\\"b"@example.org>', Mailbox('a"b', "example.org")),
            ("<a@[192.0.2.1]>", Mailbox("a", "[192.0.2.1]")),
            ("<@x.example,@y.example:a@example.org>", Mailbox("a", "example.org")),
        ):
            self.assertEqual(self.mail(f"FROM:{path}").reverse_path, mailbox, path)

    def test_keyword_in_any_case_and_space_behind_it(self) -> None:
        for argument in ("from:<a@b>", "From: <a@b>", "FROM:  <a@b>"):
            self.assertEqual(self.mail(argument).reverse_path, Mailbox("a", "b"))

    def test_malformed(self) -> None:
        for argument in ("", "FROM", "FROM:", "TO:<a@b>", "FROM <a@b>", "FROM:<a@b", "FROM:<a@b>x", 'FROM:<"a@b>'):
            self.refused_mail(501, "5.5.4", argument)
        for argument in ("FROM:<@x:>", "FROM:<a<b@c>", "FROM:<a@b> =", "FROM:<a@b> SIZE==1", "FROM:<a@b> -x"):
            self.refused_mail(501, "5.5.4", argument)

    def test_without_angle_brackets(self) -> None:
        self.assertIn("angle brackets", self.refused_mail(501, "5.5.4", "FROM:a@example.org"))

    def test_without_domain(self) -> None:
        self.assertIn("no domain: write user@domain", self.refused_mail(501, "5.1.7", "FROM:<alice>"))
        self.refused_mail(501, "5.1.7", "FROM:<alice@>")

    def test_bad_addresses(self) -> None:
        for path in (
            "@b",
            "a b@c",
            "a..b@c",
            "a@b..c",
            "a@-b",
            "a@[1.2.3]",
            "a@b@c",
            "a@" + "b" * 64,
            " ",
            "%s@b" % ("a" * 65),
        ):
            self.refused_mail(501, "5.1.7", f"FROM:<{path}>")

    def test_parameters(self) -> None:
        mail = self.mail("FROM:<a@b>  size=1000 Body=8bitmime SMTPUTF8 AUTH=<> RET=hdrs ENVID=a+2Bb")
        self.assertEqual(mail, Mail(Mailbox("a", "b"), 1000, "8BITMIME", True, "HDRS", "a+b"))

    def test_declared_size_over_the_limit(self) -> None:
        self.refused_mail(552, "5.3.4", "FROM:<a@b> SIZE=1001")
        self.refused_mail(552, "5.3.4", "FROM:<a@b> SIZE=99999999999999999999")

    def test_bad_values(self) -> None:
        for parameter in ("SIZE=", "SIZE", "SIZE=x", "SIZE=-1", "SIZE=" + "1" * 21, "SIZE=\u0661"):
            self.refused_mail(501, "5.5.4", f"FROM:<a@b> {parameter}")
        for parameter in ("BODY=BINARYMIME", "BODY", "SMTPUTF8=1", "AUTH=+zz"):
            self.refused_mail(501, "5.5.4", f"FROM:<a@b> {parameter}")
        for parameter in ("RET=NONE", "ENVID=a+2", "ENVID=a+0D+0Ab", "ENVID=" + "a" * 101):
            self.refused_mail(501, "5.5.4", f"FROM:<a@b> {parameter}")

    def test_unknown_parameters(self) -> None:
        self.assertIn("XYZZY", self.refused_mail(555, "5.5.4", "FROM:<a@b> xyzzy=1"))
        for parameter in ("SIZE=1", "BODY=7BIT", "SMTPUTF8", "AUTH=<>", "RET=FULL", "ENVID=a"):
            self.refused_mail(555, "5.5.4", f"FROM:<a@b> {parameter}", PLAIN)

    def test_twice(self) -> None:
        self.refused_mail(501, "5.5.4", "FROM:<a@b> SIZE=1 size=2")

    def test_non_ascii(self) -> None:
        self.refused_mail(553, "5.6.7", "FROM:<jörg@example.org>")
        self.refused_mail(553, "5.6.7", "FROM:<a@bücher.example>")
        mail = self.mail("FROM:<jörg@bücher.example> SMTPUTF8")
        self.assertEqual(mail.reverse_path, Mailbox("jörg", "bücher.example"))


class RcptTests(RefusedMixin):
    def test_paths(self) -> None:
        self.assertEqual(syntax.rcpt("TO:<a@b>", ALL, False), Rcpt(Mailbox("a", "b")))
        self.assertEqual(syntax.rcpt("to: <@x:a@b>", ALL, False), Rcpt(Mailbox("a", "b")))

    def test_bare_postmaster(self) -> None:
        """RFC 5321 4.1.1.3"""
        self.assertEqual(syntax.rcpt("TO:<PostMaster>", ALL, False), Rcpt(Mailbox("postmaster", "")))

    def test_bad_addresses(self) -> None:
        for path in ("", "alice", "a@", "@"):
            self.refused(501, "5.1.3", syntax.rcpt, f"TO:<{path}>", ALL, False)

    def test_non_ascii_needs_smtputf8_with_mail(self) -> None:
        self.refused(553, "5.6.7", syntax.rcpt, "TO:<jörg@b>", ALL, False)
        self.assertEqual(syntax.rcpt("TO:<jörg@b>", ALL, True), Rcpt(Mailbox("jörg", "b")))

    def test_dsn(self) -> None:
        rcpt = syntax.rcpt("TO:<a@b> NOTIFY=success,Failure ORCPT=rfc822;a+2Bc@d", ALL, False)
        self.assertEqual(rcpt, Rcpt(Mailbox("a", "b"), frozenset({"SUCCESS", "FAILURE"}), "rfc822;a+c@d"))
        self.assertEqual(syntax.rcpt("TO:<a@b> NOTIFY=NEVER", ALL, False).notify, {"NEVER"})

    def test_bad_dsn(self) -> None:
        for parameter in (
            "NOTIFY=",
            "NOTIFY=NEVER,DELAY",
            "NOTIFY=x",
            "ORCPT=a@b",
            "ORCPT=rfc822;",
            "ORCPT=;a",
            "ORCPT=rfc822;+0A",
        ):
            self.refused(501, "5.5.4", syntax.rcpt, f"TO:<a@b> {parameter}", ALL, False)

    def test_unknown_parameters(self) -> None:
        for parameter in ("NOTIFY=NEVER", "ORCPT=rfc822;a", "SIZE=1", "x"):
            self.refused(555, "5.5.4", syntax.rcpt, f"TO:<a@b> {parameter}", PLAIN, False)


class HelloTests(RefusedMixin):
    def test_lenient_but_bounded(self) -> None:
        for name in ("mail.example.org", "[192.0.2.1]", "192.0.2.1", "-", "my_pc", "my pc", "a" * 255):
            self.assertEqual(syntax.hello("EHLO", name), Hello(True, name))
        for name in ("", "a" * 256, "bücher.example"):
            self.refused(501, "5.5.4", syntax.hello, "HELO", name)


class AuthTests(SynchronousTestCase):
    def test_auth(self) -> None:
        self.assertEqual(syntax.auth("plain", ALL), Auth("PLAIN", None))
        self.assertEqual(syntax.auth("PLAIN =", ALL), Auth("PLAIN", b""))
        self.assertEqual(syntax.auth("PLAIN AGEAYg==", ALL), Auth("PLAIN", b"\0a\0b"))

    def test_refused(self) -> None:
        for argument, code in (
            ("", 501),
            ("PLAIN a b", 501),
            ("CRAM-MD5", 504),
            ("PLAIN a", 501),
            ("PLAIN a*==", 501),
            ("PLAIN ä", 504),
            ("pla\u0131n", 504),
        ):
            event = syntax.auth(argument, ALL)
            assert isinstance(event, Invalid)
            self.assertEqual(event.reply.code, code, argument)

    def test_response(self) -> None:
        self.assertEqual(syntax.auth_response(b"*"), AuthResponse(None))
        self.assertEqual(syntax.auth_response(b""), AuthResponse(b""))
        self.assertEqual(syntax.auth_response(b"YQ=="), AuthResponse(b"a"))
        for line in (b"a", b"YQ==\0", b"Y Q==", b"\xff"):
            self.assertIsInstance(syntax.auth_response(line), Invalid)
