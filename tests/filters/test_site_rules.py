"""Site rules: reading rules.toml with every error at once, and what the rules hold for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from mailgw.config.errors import ConfigurationErrors
from mailgw.filters import rules
from mailgw.filters.anatomy import Anatomies
from mailgw.filters.base import FilterSettings
from mailgw.filters.rules import PLACES, RuleSet, load_rules
from mailgw.filters.site_rules import SiteRules
from mailgw.filters.text import SCAN_SIZE
from mailgw.mail.address import Mailbox
from mailgw.mail.envelope import Recipient
from mailgw.mail.evidence import Evidence
from mailgw.mail.message import FileContent, Message, head_of
from mailgw.operation.threads import ThreadsInline
from tests.filters.support import GOOD, make_transaction

SHIPPED = Path(__file__).parent.parent.parent / "etc" / "rules.toml"


class CountingThreads(ThreadsInline):
    def __init__(self) -> None:
        self.runs = 0

    async def run(self, work: Any, *args: Any, **kwargs: Any) -> Any:
        self.runs += 1
        return work(*args, **kwargs)


class RulesCase(SynchronousTestCase):
    def load(self, text: str, **arguments: Any) -> RuleSet:
        self.path = self.mktemp()
        Path(self.path).write_text(text)
        return load_rules(self.path, **arguments)

    def rule(self, where: str, pattern: str, more: str = "") -> str:
        return f"[[rule]]\nsymbol = 'R'\nscore = 1\nwhere = '{where}'\npattern = '{pattern}'\n{more}\n"


class LoadTests(RulesCase):
    def errors(self, text: str, **arguments: Any) -> list[str]:
        error = self.assertRaises(ConfigurationErrors, self.load, text, **arguments)
        return [str(e).removeprefix(self.path) for e in error.errors]

    def test_the_shipped_rules_are_right(self) -> None:
        self.assertIn("SITE_SEXTORTION", load_rules(str(SHIPPED)).scores)

    def test_no_rules(self) -> None:
        self.assertEqual(self.load("").scores, {})

    def test_scores(self) -> None:
        self.assertEqual(self.load(self.rule("body", "x")).scores, {"R": 1.0})

    def test_every_error_at_once_with_line_rule_key_and_reason(self) -> None:
        text = (
            "[[rule]]\nsymbol = 'a-b'\nwhere = 'body'\npattern = '(a'\nscore = 1\n"
            "[[rule]]\nsymbol = 'BB'\nwhere = 'sujbect'\npattern = 'a'\nscore = 'high'\n"
            "[[rule]]\nsymbol = 'CC'\nwhere = 'body'\npattern = 'a'\nscore = 1\nunless = '[z-a]'\nflgas = 'i'\n"
            "[[rule]]\nwhere = 'body'\n"
        )
        errors = self.errors(text)
        self.assertEqual(
            errors,
            [
                ':2: rule 1 (a-b): symbol: "a-b" is no symbol; write capitals, digits and _ such as SITE_OFFER',
                ":4: rule 1 (a-b): pattern: RE2 says: missing ): (a",
                ":10: rule 2 (BB): score: expected a number, got a string",
                f':8: rule 2 (BB): where: expected header:NAME or one of {", ".join(PLACES)}, got "sujbect"; '
                'did you mean "subject"?',
                ':17: rule 3 (CC): flgas: unknown key; did you mean "flags"?',
                ":16: rule 3 (CC): unless: RE2 says: invalid character class range: z-a",
                ":18: rule 4: symbol: the key is missing",
                ":18: rule 4: pattern: the key is missing",
                ":18: rule 4: score: the key is missing",
            ],
        )

    def test_places(self) -> None:
        (error,) = self.errors(self.rule("sujbect", "x"))
        self.assertIn('did you mean "subject"?', error)
        (error,) = self.errors(self.rule("header:", "x"))
        self.assertIn("expected header:NAME or one of subject, from, to, body", error)

    def test_patterns_that_hold_for_everything(self) -> None:
        for pattern in ("", "foo|", ".*", "x?"):
            (error,) = self.errors(self.rule("body", pattern))
            self.assertIn("matches every text", error)
        self.load(self.rule("mail_from", "^$"))

    def test_patterns_that_only_perl_knows(self) -> None:
        for pattern in (r"(a)\1", "(?=a)b", "(?<!a)b"):
            self.assertIn("RE2 says", self.errors(self.rule("body", pattern))[0])

    def test_patterns_that_are_too_large(self) -> None:
        self.assertIn("RE2 says: pattern too large", self.errors(self.rule("body", r"\pL{1000}\pL{1000}\pL{1000}"))[0])
        self.patch(rules, "_SET_MEMORY", 10_000)
        (error,) = self.errors(self.rule("body", r"\pL{100}"))
        self.assertIn("the patterns of body are too many or too large together", error)

    def test_symbols_are_used_once(self) -> None:
        (error,) = self.errors(self.rule("body", "x") * 2)
        self.assertIn("is also that of rule 1", error)
        (error,) = self.errors(self.rule("body", "x"), taken=["R"])
        self.assertIn("is a symbol of a filter", error)

    def test_flags(self) -> None:
        (error,) = self.errors(self.rule("body", "x", "flags = 'ix'"))
        self.assertIn("flags: unknown: x", error)

    def test_what_is_no_list_of_rules(self) -> None:
        self.assertIn("two brackets", self.errors("[rule]\nsymbol = 'X'")[0])
        self.assertIn("unknown key", self.errors("[[rules]]\nsymbol = 'X'")[0])
        self.assertIn("not valid TOML", self.errors("[[rule]\n")[0])

    def test_a_file_that_is_not_there(self) -> None:
        error = self.assertRaises(ConfigurationErrors, load_rules, "/nonexistent/rules.toml")
        self.assertIn("does not exist", str(error))


class CheckTests(RulesCase):
    def check(self, text: str, data: bytes = GOOD, **changes: Any) -> list[Evidence]:
        self.threads = CountingThreads()
        filter = SiteRules(FilterSettings(), self.load(text), Anatomies(self.threads))
        return self.successResultOf(Deferred.fromCoroutine(filter.check(make_transaction(data, **changes))))

    def holds(self, where: str, pattern: str, data: bytes = GOOD, more: str = "", **changes: Any) -> bool:
        return [e.symbol for e in self.check(self.rule(where, pattern, more), data, **changes)] == ["R"]

    def test_header_fields_are_unfolded_and_decoded_and_looked_at_one_by_one(self) -> None:
        data = b"X-A: one\r\nx-a: =?utf-8?q?tw=C3=B6?=\r\n three\r\nSubject: s\r\n\r\n"
        for pattern, holds in (("^one$", True), ("^twö three$", True), ("one.*tw", False), ("four", False)):
            self.assertEqual(self.holds("header:x-A", pattern, data), holds, pattern)

    def test_places_of_the_envelope(self) -> None:
        rcpt = (Recipient(Mailbox("a", "x.example")), Recipient(Mailbox("b", "y.example")))
        for where, pattern in (
            ("mail_from", r"^ann@example\.net$"),
            ("rcpt", r"^b@y\.example$"),
            ("helo", r"^mail\.example\.net$"),
            ("client", r"^192\.0\.2\."),
            ("from", "Ann"),
            ("to", "bob"),
            ("subject", "^Lunch$"),
            ("body", "^At noon"),
        ):
            self.assertTrue(self.holds(where, pattern, recipients=rcpt), where)
        self.assertTrue(self.holds("mail_from", "^$", reverse_path=None))
        self.assertFalse(self.holds("rcpt", "a@x.*b@y", recipients=rcpt))

    def test_flags(self) -> None:
        body = b"\r\nFirst\r\n\r\nSecond\r\n"
        for pattern, flags, holds in (
            ("first", "", False),
            ("first", "i", True),
            ("^Second", "", False),
            ("^Second", "m", True),
            ("First.Second", "", False),
            ("First.Second", "s", True),
            ("^first.second$", "ims", True),
        ):
            self.assertEqual(self.holds("body", pattern, body, f"flags = '{flags}'"), holds, (pattern, flags))

    def test_unless_is_of_the_same_text(self) -> None:
        more = r"unless = 'good\.example'"
        links = b"\r\nhttp://good.example/ %s\r\n"
        self.assertFalse(self.holds("url", "^http", links % b"", more))
        self.assertTrue(self.holds("url", "^http", links % b"http://bad.example/", more))

    def test_the_detail_says_what_matched_and_why_it_counts(self) -> None:
        (evidence,) = self.check(self.rule("subject", "Lu", "description = 'about lunch'"))
        self.assertEqual(evidence.detail, 'about lunch: "Lu" in subject')

    def test_many_rules_of_one_place(self) -> None:
        text = "".join(
            f"[[rule]]\nsymbol = 'R{n}'\nwhere = 'body'\npattern = 'word{n}\\b'\nscore = 1\n" for n in range(300)
        )
        found = self.check(text, b"\r\nword7 word299 word300\r\n")
        self.assertEqual([e.symbol for e in found], ["R7", "R299"])

    def test_each_rule_is_stated_once(self) -> None:
        self.assertEqual(len(self.check(self.rule("url", "example"), b"\r\nhttp://a.example http://b.example\r\n")), 1)

    def test_a_small_message_is_looked_at_here_a_large_one_in_a_thread(self) -> None:
        large = b"\r\n" + b"a" * 100_000 + b" end"
        self.assertTrue(self.holds("body", "end$", large))
        self.assertEqual(self.threads.runs, 2)  # to take it apart, and to match
        self.assertTrue(self.holds("body", "noon"))
        self.assertEqual(self.threads.runs, 0)

    def test_the_body_is_left_alone_when_no_rule_asks_for_it(self) -> None:
        self.assertTrue(self.holds("subject", "x", b"Subject: x\r\n\r\n" + b"a" * 100_000))
        self.assertEqual(self.threads.runs, 0)

    def test_a_message_in_a_file_is_read_up_to_the_limit(self) -> None:
        data = b"Subject: x\r\n\r\nbegin " + b"a" * SCAN_SIZE + b" end"
        path = self.mktemp()
        Path(path).write_bytes(data)
        message = Message(FileContent(path, len(data)), head_of(data))
        self.assertTrue(self.holds("body", "^begin", message=message))
        self.assertFalse(self.holds("body", "end", message=message))
        self.assertEqual(self.threads.runs, 2)  # to take it apart, and to match

    def test_text_that_is_no_unicode_does_no_harm(self) -> None:
        data = b"Content-Type: text/plain; charset=utf-7\r\n\r\n+2AA- word"
        self.assertTrue(self.holds("body", "word", data))
