"""`mailgw config`, and how every command finds its configuration."""

from __future__ import annotations

import contextlib
from pathlib import Path

from click.testing import CliRunner

from mailgw.commands.main import main
from tests.commands.files import CommandTest


class ConfigurationTests(CommandTest):
    def test_before_and_behind_the_name_of_the_command(self) -> None:
        other = self.write("other.toml", "nonsense")
        for arguments in (("--config", str(other), "check"), ("check", "--config", str(other))):
            self.assertIn(f"{other}:1: not valid TOML", self.run_command(*arguments, code=1).stderr)

    def test_by_default_that_of_the_folder(self) -> None:
        folder = Path(self.mktemp()).absolute()
        (folder / "etc").mkdir(parents=True)
        (folder / "etc/mailgw.toml").write_text("nonsense")
        with contextlib.chdir(folder):
            result = CliRunner().invoke(main, ["user", "list"], env={"MAILGW_CONFIG": ""})
        self.assertEqual(result.exit_code, 1)
        self.assertIn(f"{folder}/etc/mailgw.toml:1", result.stderr)

    def test_show_defaults(self) -> None:
        self.assertIn("[listeners.submissions]", self.run_command("config", "show-defaults", "mailgw.toml").stdout)
        self.assertIn("[thresholds]", self.run_command("config", "show-defaults", "filters.toml").stdout)

    def test_help_and_version_need_no_configuration(self) -> None:
        self.assertIn("check", self.run_command("--config", "/nonexistent", "--help").stdout)
        self.assertTrue(self.run_command("--version").stdout.startswith("mailgw, version "))
