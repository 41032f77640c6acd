"""The `mailgw` command on a folder of its own, for tests."""

from __future__ import annotations

import json
from typing import Any

from click.testing import CliRunner, Result

from mailgw.commands.main import main
from tests.config.files import BASE, ConfigurationTest


class CommandTest(ConfigurationTest):
    """A test with a configuration that is right but for its users: there are none."""

    def setUp(self) -> None:
        super().setUp()
        self.configuration = self.write("mailgw.toml", f'state_directory = "state"\nrules_file = ""\n{BASE}')
        self.write("filters.toml", "")
        self.write("aliases", "")
        self.write("users", "")

    def run_command(self, *arguments: str, input: str | bytes | None = None, code: int = 0) -> Result:
        """Run `mailgw ARGUMENTS`, check the exit code, give the result."""
        environment = {"MAILGW_CONFIG": str(self.configuration)}
        result = CliRunner().invoke(main, arguments, input=input, env=environment)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        self.assertEqual(result.exit_code, code, result.output)
        return result

    def json_lines(self, *arguments: str) -> list[Any]:
        return [json.loads(line) for line in self.run_command(*arguments).stdout.splitlines()]
