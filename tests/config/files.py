"""A folder of configuration files for tests."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from mailgw.config.errors import ConfigError, ConfigurationErrors
from mailgw.config.load import load_settings
from mailgw.config.schema import Settings

BASE = """\
hostname = "mail.example.org"

[domains."example.org"]

[listeners.mx]
addresses = ["127.0.0.1:0"]
tls = "none"
"""


class ConfigurationTest(SynchronousTestCase):
    """A test with a folder to write configuration files into."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.write_text(text, encoding="utf-8")
        return path

    def settings(self, text: str = BASE) -> Settings:
        return load_settings(self.write("mailgw.toml", text))

    def errors(self, text: str) -> dict[str, ConfigError]:
        """Load a mailgw.toml that is wrong; give its errors by key."""
        found = self.assertRaises(ConfigurationErrors, self.settings, text)
        return {error.key: error for error in found.errors}
