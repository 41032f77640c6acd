"""DNS lists that are gone, that list the world, that do not serve us; and what is wrong in their sections."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from mailgw.config.errors import ConfigurationErrors
from mailgw.config.schema import FilterFile
from mailgw.filters import catalogue
from mailgw.filters.dnsbl import ActiveList, DnsList
from tests.fakes import FAIL, FakeResolver

TEST = {"2.0.0.127.bl.example": {"A": ["127.0.0.2"]}}
LISTED = {"7.2.0.192.bl.example": {"A": ["127.0.0.2"]}}


class ActiveListTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1e9)

    def make(self, zone: Any, **settings: Any) -> ActiveList:
        self.resolver = FakeResolver(zone)
        made = DnsList(
            zone="bl.example", codes=("127.0.0.2 BL 1.0",), listed="127.0.0.2", unlisted="127.0.0.1", **settings
        )
        return ActiveList("bl", made, self.resolver, self.clock)

    def ask(self, item: ActiveList, subject: str = "192.0.2.7") -> list[str]:
        return [code.symbol for code in self.successResultOf(Deferred.fromCoroutine(item.ask(subject)))]

    def test_a_good_one_is_tested_once_an_hour(self) -> None:
        item = self.make({**TEST, **LISTED})
        for _ in range(3):
            self.assertEqual(self.ask(item), ["BL"])
        self.assertEqual([name for name, _ in self.resolver.asked].count("2.0.0.127.bl.example"), 1)
        self.clock.advance(3600)
        self.ask(item)
        self.assertEqual([name for name, _ in self.resolver.asked].count("2.0.0.127.bl.example"), 2)

    def test_one_that_is_gone_is_not_asked_until_it_is_back(self) -> None:
        item = self.make(LISTED)
        self.assertEqual(self.ask(item), [])
        self.assertEqual(self.ask(item), [])
        self.assertEqual(len(self.resolver.asked), 1)
        self.resolver.zone |= TEST
        self.clock.advance(3600)
        self.assertEqual(self.ask(item), ["BL"])

    def test_one_that_lists_the_world(self) -> None:
        item = self.make({**TEST, **LISTED, "1.0.0.127.bl.example": {"A": ["127.0.0.2"]}})
        self.assertEqual(self.ask(item), [])

    def test_one_that_says_an_error_is_left_alone(self) -> None:
        item = self.make({**TEST, **LISTED, "8.2.0.192.bl.example": {"A": ["127.255.255.254"]}})
        self.assertEqual(self.ask(item, "192.0.2.8"), [])
        self.assertEqual(self.ask(item), [])
        self.clock.advance(3600)
        self.assertEqual(self.ask(item), ["BL"])

    def test_dns_that_fails_is_no_listing_and_no_fault_of_the_list(self) -> None:
        item = self.make({**TEST, **LISTED, "8.2.0.192.bl.example": FAIL})
        self.assertEqual(self.ask(item, "192.0.2.8"), [])
        self.assertEqual(self.ask(item), ["BL"])
        broken = self.make({**LISTED, "2.0.0.127.bl.example": FAIL})
        self.assertEqual(self.ask(broken), ["BL"])


class SectionTests(SynchronousTestCase):
    def read(self, **lists: Any) -> catalogue.Catalogue:
        return catalogue.read(FilterFile(filters={"dns_lists": {"lists": lists}}), "filters.toml", "", others={})

    def test_a_list_of_the_site_brings_its_symbols(self) -> None:
        read = self.read(mine={"zone": "bl.example", "codes": ["127.0.0.2 MY_BL 2.5", "127.0.0.3 MY_WL -1"]})
        self.assertEqual((read.weights["MY_BL"], read.weights["MY_WL"], read.weights["DBL_SPAM"]), (2.5, -1.0, 5.0))

    def test_a_shipped_list_is_taken_away(self) -> None:
        section = self.read(uribl={"enabled": False}).sections["dns_lists"]
        self.assertNotIn("URIBL_BLACK", section.more_symbols())
        self.assertIn("SURBL_PHISH", section.more_symbols())

    def test_what_is_wrong(self) -> None:
        found = self.assertRaises(
            ConfigurationErrors, self.read, mine={"codes": ["127.0.0.2 my_bl", "127.0.0.2 MY_BL 2"], "errors": ["255"]}
        )
        self.assertEqual(
            [f"{error.key}: {error.message}" for error in found.errors],
            [
                "filters.dns_lists.lists.mine.zone: not set; write the zone that is asked, such as zen.spamhaus.org",
                'filters.dns_lists.lists.mine.codes[0]: "127.0.0.2 my_bl" is not "CODE SYMBOL WEIGHT", such as'
                ' "127.0.0.2 MY_LIST 3.0"',
                'filters.dns_lists.lists.mine.errors[0]: "255" is no code, such as 127.255.255.*',
            ],
        )
