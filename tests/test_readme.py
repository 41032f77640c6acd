"""README says what is true: the modules of its table are there, and so are the commands that it names."""

from __future__ import annotations

import re
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from mailgw.commands.main import main

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


class ReadmeTests(SynchronousTestCase):
    def test_the_modules_of_the_table_of_standards_exist(self) -> None:
        table = README.partition("## Standards")[2].partition("## Develop")[0]
        named = re.findall(r"`([a-z_]+/[a-z_]*(?:\.py)?)`", table)
        self.assertGreater(len(named), 20)
        for path in named:
            self.assertTrue((ROOT / "mailgw" / path).exists(), path)

    def test_the_folders_of_the_flow_exist(self) -> None:
        flow = README.partition("## How it works")[2].partition("## Add a filter")[0]
        for folder in re.findall(r"`([a-z]+)/`", flow):
            self.assertTrue((ROOT / "mailgw" / folder / "__init__.py").exists(), folder)

    def test_the_commands_exist(self) -> None:
        for command in set(re.findall(r"mailgw (check|explain|queue|user|send|config)\b", README)):
            self.assertIn(command, main.commands)

    def test_no_line_is_left_to_be_filled_in(self) -> None:
        self.assertNotIn("@@", README)
