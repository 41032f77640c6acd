"""The catalogue: filters and weights made from filters.toml, and every error in it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from mailgw.config.errors import ConfigurationErrors
from mailgw.config.schema import DEFAULT_COMBINATIONS, Combination, FilterFile, Settings
from mailgw.filters.base import Filter
from mailgw.filters.catalogue import FILTERS, Catalogue, read
from mailgw.filters.header_sanity import HeaderSanitySettings
from mailgw.operation.threads import ThreadsInline
from mailgw.senderauth.authenticator import SYMBOLS
from tests.fakes import FakeResolver

RULE = "[[rule]]\nsymbol = 'SITE_A'\nwhere = 'body'\npattern = 'x'\nscore = 2\n"


class CatalogueTests(SynchronousTestCase):
    def read(self, filter_file: FilterFile, rules: str = "", **arguments: Any) -> Catalogue:
        path = self.mktemp()
        Path(path).write_text(rules)
        return read(filter_file, "filters.toml", path, **arguments)

    def make(self, catalogue: Catalogue) -> Sequence[Filter]:
        return catalogue.make(Settings(), Clock(), ThreadsInline(), FakeResolver())

    def errors(self, filter_file: FilterFile, rules: str = "", **arguments: Any) -> list[str]:
        error = self.assertRaises(ConfigurationErrors, self.read, filter_file, rules, **arguments)
        return [f"{e.key}: {e.message}" for e in error.errors]

    def test_all_filters_run_when_etc_says_nothing(self) -> None:
        catalogue = self.read(FilterFile())
        names = [entry.name for entry in FILTERS if entry.settings().enabled]
        self.assertEqual([f.name for f in self.make(catalogue)], names)
        self.assertEqual((catalogue.weights["GTUBE"], catalogue.weights["FILTER_ERROR"]), (10.0, 0.0))

    def test_no_two_filters_state_the_same_symbol(self) -> None:
        symbols = [symbol for entry in FILTERS for symbol in entry.filter.symbols]
        self.assertEqual(len(symbols), len(set(symbols)))

    def test_a_disabled_filter_is_not_made_but_its_symbols_are_known(self) -> None:
        catalogue = self.read(FilterFile(filters={"gtube": {"enabled": False}}, scores={"GTUBE": 1.0}), others={})
        self.assertNotIn("gtube", [f.name for f in self.make(catalogue)])
        self.assertEqual(catalogue.weights["GTUBE"], 1.0)

    def test_settings_come_from_the_section(self) -> None:
        section = {"hops": 5, "on_error": "defer", "past": 60}
        filters = self.make(self.read(FilterFile(filters={"header_sanity": section})))
        self.assertEqual(filters[0].settings, HeaderSanitySettings(hops=5, on_error="defer", past=60.0))

    def test_scores_of_filters_toml_go_before_those_of_rules_toml(self) -> None:
        self.assertEqual(self.read(FilterFile(), RULE).weights["SITE_A"], 2.0)
        self.assertEqual(self.read(FilterFile(scores={"SITE_A": 3.0}), RULE).weights["SITE_A"], 3.0)

    def test_every_error_of_both_files(self) -> None:
        filter_file = FilterFile(
            filters={"gtub": {}, "header_sanity": {"hosp": 1, "time_limit": 0}, "gtube": {"on_error": "deferr"}}
        )
        self.assertEqual(
            self.errors(filter_file, RULE.replace("SITE_A", "GTUBE")),
            [
                "rule 1 (GTUBE): symbol: GTUBE is a symbol of a filter; take another name",
                'filters.gtub: there is no such filter; did you mean "gtube"?',
                'filters.header_sanity.hosp: unknown key; did you mean "hops"?',
                "filters.header_sanity.time_limit: 0.0 is not above 0",
                'filters.gtube.on_error: expected "ignore" or "defer", got "deferr"; did you mean "defer"?',
            ],
        )

    def test_symbols_that_nobody_states(self) -> None:
        filter_file = FilterFile(scores={"SPF_FIAL": 2.0, "SITE_A": 1.0}, rules={"GTUB": "reject"})
        self.assertEqual(
            self.errors(filter_file, RULE, others={"SPF_FAIL": 1.0}),
            [
                'scores.SPF_FIAL: nothing states this symbol; did you mean "SPF_FAIL"?',
                'rules.GTUB: nothing states this symbol; did you mean "GTUBE"?',
            ],
        )

    def test_without_rules(self) -> None:
        filters = self.make(read(FilterFile(), "filters.toml", ""))
        self.assertEqual(len(filters), len([entry for entry in FILTERS if entry.settings().enabled]))

    def test_combinations_and_their_weights(self) -> None:
        file = FilterFile(
            combinations={"SITE_FRAUD": Combination(all=("GTUBE", "SITE_A"), score=3.0, instead=("GTUBE",))},
            scores={"PROGRAM_BEHIND_PASSWORD": 1.0},
        )
        read = self.read(file, RULE, others=SYMBOLS)
        self.assertEqual(read.weights["SITE_FRAUD"], 3.0)
        self.assertEqual(read.weights["PROGRAM_BEHIND_PASSWORD"], 1.0)
        self.assertEqual(set(read.combinations), {*DEFAULT_COMBINATIONS, "SITE_FRAUD"})

    def test_a_default_combination_that_is_switched_off(self) -> None:
        read = self.read(FilterFile(combinations={"PROGRAM_BEHIND_PASSWORD": Combination(enabled=False)}))
        self.assertNotIn("PROGRAM_BEHIND_PASSWORD", read.combinations)

    def test_default_combinations_are_of_symbols_that_somebody_states(self) -> None:
        read = self.read(FilterFile(), others=SYMBOLS)
        for name, combination in read.combinations.items():
            self.assertLessEqual({*combination.all, *combination.any, *combination.none}, set(read.weights), name)

    def test_every_error_of_combinations(self) -> None:
        file = FilterFile(
            combinations={
                "site": Combination(all=("GTUBE",)),
                "GTUBE": Combination(any=("SITE_A",)),
                "SITE_NONE": Combination(none=("GTUBE",)),
                "SITE_B": Combination(all=("GTUBE",), none=("GTUBE",), instead=("SITE_A",)),
            }
        )
        self.assertEqual(
            self.errors(file, RULE),
            [
                "combinations.site: is no symbol; write capitals, digits and _ such as [combinations.SITE_FRAUD]",
                "combinations.GTUBE: is a symbol that a filter or a rule states; take another name",
                "combinations.SITE_NONE: names no symbols; set `all` or `any`, or `enabled = false`",
                "combinations.SITE_B.instead[0]: SITE_A is in neither `all` nor `any`",
                "combinations.SITE_B.none: GTUBE must be there and must not be there",
            ],
        )

    def test_combinations_of_symbols_that_nobody_states(self) -> None:
        file = FilterFile(combinations={"SITE_B": Combination(all=("GTUBE", "SPF_FIAL"))})
        self.assertEqual(
            self.errors(file, others=SYMBOLS),
            ['combinations.SITE_B.all[1]: nothing states SPF_FIAL; did you mean "SPF_FAIL"?'],
        )
