"""The catalogue: filters and weights made from filters.toml, and every error in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from mailgw.config.errors import ConfigurationErrors
from mailgw.config.schema import FilterFile
from mailgw.filters.catalogue import FILTERS, build
from mailgw.filters.header_sanity import HeaderSanitySettings
from mailgw.operation.threads import ThreadsInline

RULE = "[[rule]]\nsymbol = 'SITE_A'\nwhere = 'body'\npattern = 'x'\nscore = 2\n"


class CatalogueTests(SynchronousTestCase):
    def build(self, filter_file: FilterFile, rules: str = "", **arguments: Any) -> Any:
        path = self.mktemp()
        Path(path).write_text(rules)
        return build(filter_file, "filters.toml", path, Clock(), ThreadsInline(), **arguments)

    def errors(self, filter_file: FilterFile, rules: str = "", **arguments: Any) -> list[str]:
        error = self.assertRaises(ConfigurationErrors, self.build, filter_file, rules, **arguments)
        return [f"{e.key}: {e.message}" for e in error.errors]

    def test_all_filters_run_when_etc_says_nothing(self) -> None:
        filters, weights = self.build(FilterFile())
        self.assertEqual([f.name for f in filters], [entry.name for entry in FILTERS])
        self.assertEqual((weights["GTUBE"], weights["FILTER_ERROR"]), (10.0, 0.0))

    def test_no_two_filters_state_the_same_symbol(self) -> None:
        symbols = [symbol for entry in FILTERS for symbol in entry.filter.symbols]
        self.assertEqual(len(symbols), len(set(symbols)))

    def test_a_disabled_filter_is_not_made_but_its_symbols_are_known(self) -> None:
        filters, weights = self.build(
            FilterFile(filters={"gtube": {"enabled": False}}, scores={"GTUBE": 1.0}), others={}
        )
        self.assertNotIn("gtube", [f.name for f in filters])
        self.assertEqual(weights["GTUBE"], 1.0)

    def test_settings_come_from_the_section(self) -> None:
        filters, _ = self.build(FilterFile(filters={"header_sanity": {"hops": 5, "on_error": "defer", "past": 60}}))
        self.assertEqual(filters[0].settings, HeaderSanitySettings(hops=5, on_error="defer", past=60.0))

    def test_scores_of_filters_toml_go_before_those_of_rules_toml(self) -> None:
        self.assertEqual(self.build(FilterFile(), RULE)[1]["SITE_A"], 2.0)
        self.assertEqual(self.build(FilterFile(scores={"SITE_A": 3.0}), RULE)[1]["SITE_A"], 3.0)

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
        filters, _ = build(FilterFile(), "filters.toml", "", Clock(), ThreadsInline())
        self.assertEqual(len(filters), len(FILTERS))
