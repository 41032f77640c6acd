"""Files that cannot be read, and the lines of keys."""

from __future__ import annotations

import os

from mailgw.config.errors import ConfigError, ConfigurationErrors
from mailgw.config.text import find_lines, number_lines, read_toml
from tests.config.files import ConfigurationTest


class ReadTests(ConfigurationTest):
    def error(self, path: object) -> ConfigError:
        found = self.assertRaises(ConfigurationErrors, read_toml, path)
        self.assertEqual(len(found.errors), 1)
        return found.errors[0]

    def test_missing(self) -> None:
        path = self.folder / "none.toml"
        self.assertEqual(str(self.error(path)), f"{path}: the file does not exist")

    def test_folder(self) -> None:
        self.assertIn("cannot be read: Is a directory", str(self.error(self.folder)))

    def test_not_permitted(self) -> None:
        path = self.write("a.toml", "")
        path.chmod(0)
        self.assertIn("cannot be read: Permission denied", str(self.error(path)))

    if os.geteuid() == 0:
        test_not_permitted.skip = "root may read everything"  # type: ignore[attr-defined]

    def test_not_utf_8(self) -> None:
        path = self.folder / "a.toml"
        path.write_bytes(b'a = 1\nb = "caf\xe9"\n')
        self.assertEqual(str(self.error(path)), f"{path}:2: the file is not UTF-8; save it as UTF-8")

    def test_invalid_toml_names_the_line(self) -> None:
        for text, line in (("a = 1\nb =\n", 2), ("a = 1\n\na = 2", 3), ("a = [1,\n", 2), ("\n[x\n", 2)):
            error = self.error(self.write("a.toml", text))
            self.assertEqual(error.line, line, text)
            self.assertIn("not valid TOML", error.message)
            self.assertNotIn("at line", error.message)

    def test_nested_too_deeply(self) -> None:
        error = self.error(self.write("a.toml", "a = " + "[" * 100_000))
        self.assertIn("not valid TOML", error.message)


class LineTests(ConfigurationTest):
    TEXT = """\
a = 1
[s]
  b = 2
"c.d" = 3
[ t . "u.v" ]
x.y = [
  1,
]
[[list]]
z = 1
"""

    def test_keys_and_sections(self) -> None:
        self.assertEqual(
            find_lines(self.TEXT),
            {
                "a": 1,
                "s": 2,
                "s.b": 3,
                's."c.d"': 4,
                "t": 5,
                't."u.v"': 5,
                't."u.v".x.y': 6,
                "list": 9,
                "list.z": 10,
            },
        )

    def test_an_error_gets_the_line_of_its_key_or_its_section(self) -> None:
        path = str(self.write("a.toml", self.TEXT))
        keys = ("s.b", "s.missing", 't."u.v".x.y[3]', "nowhere")
        errors = number_lines(ConfigError(path, key, "wrong") for key in keys)
        self.assertEqual([error.line for error in errors], [3, 2, 6, 0])
        self.assertEqual(str(errors[0]), f"{path}:3: s.b: wrong")
        self.assertEqual(str(errors[3]), f"{path}: nowhere: wrong")
