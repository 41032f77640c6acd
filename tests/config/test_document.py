"""The shipped files of etc/ are what the schema says."""

from __future__ import annotations

import re
from pathlib import Path

from attrs import evolve

import mailgw
from mailgw.commands.config import shipped
from mailgw.config.document import main_file
from mailgw.config.load import load_filter_file, load_settings
from mailgw.config.schema import DEFAULT_RATES, FilterFile
from tests.config.files import ConfigurationTest

ETC = Path(mailgw.__file__).parent.parent / "etc"


class ShippedTests(ConfigurationTest):
    if not ETC.exists():
        skip = "etc/ is not here: this is an installed mailgw"

    def test_they_are_up_to_date(self) -> None:
        for name in ("mailgw.toml", "filters.toml"):
            self.assertEqual(
                (ETC / name).read_text(encoding="utf-8"),
                shipped(name),
                f"run: python -m mailgw.commands.main config show-defaults {name} > etc/{name}",
            )


class DocumentTests(ConfigurationTest):
    def test_the_main_file_is_a_whole_configuration(self) -> None:
        settings = load_settings(self.write("mailgw.toml", main_file()))
        self.assertEqual(
            [(listener.addresses, listener.kind, listener.tls) for listener in settings.listeners.values()],
            [
                (("0.0.0.0:25",), "mx", "starttls"),
                (("0.0.0.0:465",), "submission", "implicit"),
                (("0.0.0.0:587",), "submission", "starttls"),
            ],
        )

    def test_the_commented_defaults_are_the_defaults(self) -> None:
        plain = load_settings(self.write("mailgw.toml", main_file()))
        everything = re.sub(r"(?m)^#(?=[a-z_]+ = |\[)", "", main_file())
        uncommented = load_settings(self.write("mailgw.toml", everything))
        self.assertEqual(list(uncommented.routes), ["smarthost"])
        self.assertEqual(uncommented.rates, DEFAULT_RATES)
        self.assertEqual(uncommented.queue, plain.queue)
        self.assertEqual(uncommented.limits, plain.limits)
        self.assertEqual(uncommented.domains, plain.domains)
        self.assertEqual(list(uncommented.relay.rules), ["newsletter"])
        self.assertEqual(evolve(uncommented.relay, rules={}), plain.relay)
        self.assertEqual(uncommented.log, plain.log)

    def test_the_filter_file_changes_nothing(self) -> None:
        read = load_filter_file(self.write("filters.toml", shipped("filters.toml")))
        self.assertEqual(read.thresholds, FilterFile().thresholds)
        self.assertEqual(read.dmarc, FilterFile().dmarc)
        self.assertFalse(read.scores or read.rules or any(read.filters.values()))
