"""A site's words for reports, and what is wrong in them."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from mailgw.config.errors import ConfigurationErrors
from mailgw.delivery.wording import load_wording


class ErrorTests(SynchronousTestCase):
    def errors(self, text: str) -> list[str]:
        path = Path(self.mktemp())
        path.write_text(text)
        found = self.assertRaises(ConfigurationErrors, load_wording, "en", str(path))
        return [f"{error.line}: {error.key}: {error.message}" for error in found.errors]

    def test_a_cause_that_there_is_not(self) -> None:
        self.assertEqual(
            self.errors('\n[causes.unknown_usr]\nwhat = "x"\n'),
            ['2: causes.unknown_usr: there is no such cause; did you mean "unknown_user"?'],
        )

    def test_a_template_that_is_none(self) -> None:
        (error,) = self.errors('[delay]\ntext = "{% if %}"\n')
        self.assertTrue(error.startswith("2: delay.text: "), error)
        self.assertIn("(line 1 of it)", error)

    def test_a_fact_that_there_is_not(self) -> None:
        (error,) = self.errors('[failure]\ntext = "{{ hostnam }}"\n')
        self.assertIn("'hostnam' is undefined", error)

    def test_an_unknown_key(self) -> None:
        self.assertEqual(
            self.errors('[failure]\nsubjekt = "x"\n'), ['2: failure.subjekt: unknown key; did you mean "subject"?']
        )


class AgeTests(SynchronousTestCase):
    def test_ages(self) -> None:
        age = load_wording("en").age
        for seconds, words in (
            (20, "1 minutes"),
            (900, "15 minutes"),
            (3600, "an hour"),
            (14400, "4 hours"),
            (172800, "2 days"),
        ):
            self.assertEqual(age(seconds), words)
