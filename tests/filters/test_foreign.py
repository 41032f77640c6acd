"""Filters of other packages: found by their dotted name, checked, made, and run like ours."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar

from attrs import field, frozen
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from mailgw.config.errors import ConfigurationErrors
from mailgw.config.schema import FilterFile, Settings
from mailgw.filters.base import FilterSettings
from mailgw.filters.catalogue import Catalogue, Services, read
from mailgw.filters.runner import FilterRunner
from mailgw.mail.evidence import Evidence
from mailgw.mail.transaction import Transaction
from mailgw.operation.threads import ThreadsInline
from tests.fakes import FakeResolver
from tests.filters.support import make_transaction

HERE = __name__


@frozen
class ShoutingSettings(FilterSettings):
    words: int = field(default=1, metadata={"doc": "Words in capitals from which on it is shouting."})


class Shouting:
    name: ClassVar[str] = "shouting"
    symbols: ClassVar[Mapping[str, float]] = {"SUBJECT_IN_CAPITALS": 0.5}
    settings_class = ShoutingSettings

    def __init__(self, settings: ShoutingSettings, services: Services) -> None:
        self.settings = settings
        self._anatomies = services.anatomies

    async def check(self, transaction: Transaction) -> Iterable[Evidence]:
        assert transaction.message is not None
        await self._anatomies.of(transaction)
        subject = transaction.message.get("subject")
        if subject is not None and subject.text.isupper() and len(subject.text.split()) >= self.settings.words:
            return [Evidence("SUBJECT_IN_CAPITALS", subject.text)]
        return []


class Failing(Shouting):
    name = "failing"
    symbols: ClassVar[Mapping[str, float]] = {"FAILING": 0.5}

    def __init__(self, settings: ShoutingSettings, services: Services) -> None:
        raise OSError("no licence")


class Named(Shouting):
    name = "another"


class NoCheck:
    name = "nocheck"
    symbols: ClassVar[Mapping[str, float]] = {}


class Gtube2(Shouting):
    name = "gtube2"
    symbols: ClassVar[Mapping[str, float]] = {"GTUBE": 1.0}


class Lower(Shouting):
    name = "lower"
    symbols: ClassVar[Mapping[str, float]] = {"lower": 1.0}


class Gtube(Shouting):
    name = "gtube"
    symbols: ClassVar[Mapping[str, float]] = {"OTHER": 1.0}


class ForeignTests(SynchronousTestCase):
    def read(self, **filters: Any) -> Catalogue:
        return read(FilterFile(filters=filters), "filters.toml", "", others={})

    def errors(self, **filters: Any) -> list[str]:
        error = self.assertRaises(ConfigurationErrors, self.read, **filters)
        return [f"{e.key}: {e.message}" for e in error.errors]

    def test_it_runs_with_its_settings_and_its_weight_is_known(self) -> None:
        catalogue = self.read(shouting={"class": f"{HERE}:Shouting", "words": 2})
        self.assertEqual(catalogue.weights["SUBJECT_IN_CAPITALS"], 0.5)
        clock = Clock()
        runner = FilterRunner(catalogue.make(Settings(), clock, ThreadsInline(), FakeResolver()), clock)
        for subject, stated in ((b"BUY NOW", True), (b"BUY", False)):
            transaction = make_transaction(b"Subject: " + subject + b"\r\n\r\nx")
            self.successResultOf(Deferred.fromCoroutine(runner.run(transaction)))
            found = [e for e in transaction.evidence if e.source == "shouting"]
            self.assertEqual([e.symbol for e in found], ["SUBJECT_IN_CAPITALS"] if stated else [])

    def test_a_disabled_one_is_not_made(self) -> None:
        catalogue = self.read(failing={"class": f"{HERE}:Failing", "enabled": False})
        catalogue.make(Settings(), Clock(), ThreadsInline(), FakeResolver())

    def test_one_that_cannot_be_made(self) -> None:
        catalogue = self.read(failing={"class": f"{HERE}:Failing"})
        error = self.assertRaises(
            ConfigurationErrors, catalogue.make, Settings(), Clock(), ThreadsInline(), FakeResolver()
        )
        self.assertEqual(
            [f"{e.key}: {e.message}" for e in error.errors],
            ["filters.failing: it cannot be made: OSError: no licence"],
        )

    def test_every_error_says_what_to_do(self) -> None:
        for name, dotted, message in (
            ("x", "nothing", 'expected "package.module:Class"'),
            ("x", 5, 'expected "package.module:Class"'),
            ("x", "no_such_package.x:Y", "there is no module no_such_package; is its package installed beside mailgw?"),
            ("x", f"{HERE}:Nobody", f"the module {HERE} has no class Nobody"),
            ("x", f"{HERE}:HERE", f"the module {HERE} has no class HERE"),
            ("x", f"{HERE}:Named", "Named is called 'another'; its section must be [filters.another]"),
            (
                "nocheck",
                f"{HERE}:NoCheck",
                "NoCheck is no filter: it has no `async def check(self, transaction)`",
            ),
            ("gtube2", f"{HERE}:Gtube2", "GTUBE is a symbol of gtube already"),
            ("lower", f"{HERE}:Lower", "'lower' is no symbol; write capitals, digits and _ such as SITE_OFFER"),
            ("gtube", f"{HERE}:Gtube", "gtube is a filter of mailgw's; take another name"),
        ):
            self.assertEqual(self.errors(**{name: {"class": dotted}}), [f"filters.{name}.class: {message}"])

    def test_a_module_that_cannot_be_imported(self) -> None:
        folder = self.mktemp()
        os.makedirs(folder)
        with open(f"{folder}/broken_filter.py", "w") as file:
            file.write("raise RuntimeError('no database')\n")
        with open(f"{folder}/needy_filter.py", "w") as file:
            file.write("import no_such_library\n")
        sys.path.insert(0, folder)
        self.addCleanup(sys.path.remove, folder)
        self.assertEqual(
            self.errors(x={"class": "broken_filter:X"}),
            ["filters.x.class: the module broken_filter cannot be imported: RuntimeError: no database"],
        )
        self.assertEqual(
            self.errors(x={"class": "needy_filter:X"}),
            ["filters.x.class: the module needy_filter needs no_such_library, which is not installed"],
        )

    def test_an_unknown_setting_of_it(self) -> None:
        self.assertEqual(
            self.errors(shouting={"class": f"{HERE}:Shouting", "wrods": 2}),
            ['filters.shouting.wrods: unknown key; did you mean "words"?'],
        )

    def test_the_one_in_readme_runs(self) -> None:
        page = (Path(__file__).parents[2] / "README.md").read_text().partition("## Add a filter")[2]
        (code, *_) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
        folder = self.mktemp()
        os.makedirs(folder)
        Path(folder, "readme_filter.py").write_text(code)
        sys.path.insert(0, folder)
        self.addCleanup(sys.path.remove, folder)
        catalogue = self.read(shouting={"class": "readme_filter:Shouting", "links": 2})
        clock = Clock()
        runner = FilterRunner(catalogue.make(Settings(), clock, ThreadsInline(), FakeResolver()), clock)
        transaction = make_transaction(b"Subject: BUY NOW\r\n\r\nhttps://example.net/\r\n")
        self.successResultOf(Deferred.fromCoroutine(runner.run(transaction)))
        found = [(e.symbol, e.detail, e.strength) for e in transaction.evidence if e.source == "shouting"]
        self.assertEqual(found, [("SUBJECT_IN_CAPITALS", '"BUY NOW"', 0.5)])
