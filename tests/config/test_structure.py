"""TOML values into schema classes: plain words, every error at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from attrs import field, frozen
from twisted.trial.unittest import SynchronousTestCase

from mailgw.config.errors import ConfigurationErrors
from mailgw.config.structure import structure, structure_leniently


@frozen
class Inner:
    color: Literal["red", "green"] = "red"
    names: tuple[str, ...] = ()


@frozen
class Outer:
    text: str = ""
    count: int = 1
    share: float = 0.5
    flag: bool = False
    times: tuple[float, ...] = ()
    inner: Inner = field(factory=Inner)
    items: Mapping[str, Inner] = field(factory=dict)
    weights: Mapping[str, float] = field(factory=dict)
    free: Mapping[str, Mapping[str, Any]] = field(factory=dict)
    workers: int | Literal["auto"] = 1


class StructureTests(SynchronousTestCase):
    def messages(self, data: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
        found = self.assertRaises(ConfigurationErrors, structure, Outer, data, "file", prefix)
        return {error.key: error.message for error in found.errors}

    def test_a_number_or_a_word(self) -> None:
        for value in (4, "auto"):
            self.assertEqual(structure(Outer, {"workers": value}, "file", "").workers, value)

    def test_values(self) -> None:
        data = {
            "text": "a",
            "count": 2,
            "share": 1,
            "flag": True,
            "times": [1, 2.5],
            "inner": {"color": "green", "names": ["x"]},
            "items": {"a.b": {"color": "red"}},
            "weights": {"A": 1},
            "free": {"f": {"anything": [1, "two"]}},
        }
        self.assertEqual(
            structure(Outer, data, "file"),
            Outer(
                "a",
                2,
                1.0,
                True,
                (1.0, 2.5),
                Inner("green", ("x",)),
                {"a.b": Inner()},
                {"A": 1.0},
                {"f": {"anything": [1, "two"]}},
            ),
        )

    def test_an_integer_becomes_a_float(self) -> None:
        self.assertIs(type(structure(Outer, {"share": 1}, "file").share), float)

    def test_wrong_types_in_plain_words(self) -> None:
        for key, value, message in (
            ("text", 1, "expected a string, got a number"),
            ("text", True, "expected a string, got true"),
            ("text", ["a"], "expected a string, got a list"),
            ("count", "1", "expected a whole number, got a string"),
            ("count", True, "expected a whole number, got true"),
            ("workers", "many", 'expected a whole number or "auto", got a string'),
            ("workers", True, 'expected a whole number or "auto", got true'),
            ("count", 1.5, "expected a whole number, got 1.5"),
            ("share", "x", "expected a number, got a string"),
            ("share", False, "expected a number, got false"),
            ("share", float("nan"), "expected a number, got nan"),
            ("share", {}, "expected a number, got a section"),
            ("flag", 1, "expected true or false, got a number"),
            ("flag", "yes", "expected true or false, got a string"),
            ("times", 5, "expected a list, got a number"),
            ("times", "5", "expected a list, got a string"),
            ("inner", 5, "expected a section, got a number"),
            ("items", [1], "expected a section, got a list"),
            ("weights", "x", "expected a section, got a string"),
        ):
            self.assertEqual(self.messages({key: value}), {key: message})

    def test_literals_are_listed(self) -> None:
        self.assertEqual(
            self.messages({"inner": {"color": "Gren"}}),
            {"inner.color": 'expected "red" or "green", got "Gren"; did you mean "green"?'},
        )
        self.assertEqual(
            self.messages({"inner": {"color": 1}}), {"inner.color": 'expected "red" or "green", got a number'}
        )

    def test_keys_are_whole_paths(self) -> None:
        data = {
            "times": [1, "x"],
            "items": {"a.b": {"names": ["x", 2]}, "c": 1},
            "weights": {"W": "heavy"},
            "free": {"f": 1},
        }
        self.assertEqual(
            set(self.messages(data, "filters.f")),
            {
                "filters.f.times[1]",
                'filters.f.items."a.b".names[1]',
                "filters.f.items.c",
                "filters.f.weights.W",
                "filters.f.free.f",
            },
        )

    def test_unknown_keys_and_what_was_meant(self) -> None:
        self.assertEqual(
            self.messages({"txt": "", "zzz": 1, "inner": {"colour": "red"}, "color": "red"}),
            {
                "txt": 'unknown key; did you mean "text"?',
                "zzz": "unknown key",
                "inner.colour": 'unknown key; did you mean "color"?',
                "color": "unknown key; it belongs in [inner]",
            },
        )

    def test_a_key_that_slipped_into_a_section(self) -> None:
        self.assertEqual(
            self.messages({"inner": {"count": 2}}),
            {"inner.count": "unknown key; it belongs at the top of the file, before the first section"},
        )

    def test_what_is_right_is_kept_beside_what_is_wrong(self) -> None:
        value, errors = structure_leniently(Outer, {"text": 1, "count": 7, "times": [1, "x", 3]}, "file")
        self.assertEqual(value, Outer(count=7, times=(1.0, 3.0)))
        self.assertEqual([error.key for error in errors], ["text", "times[1]"])

    def test_a_key_without_a_default(self) -> None:
        @frozen
        class Needs:
            name: str

        value, errors = structure_leniently(Needs, {}, "file", "rule")
        self.assertIsNone(value)
        self.assertEqual([str(error) for error in errors], ["file: rule.name: the key is missing"])
