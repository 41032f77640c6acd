"""`mailgw trace` on a history that it cannot read, or with patterns that SQLite does not take: a line, no traceback."""

from __future__ import annotations

from pathlib import Path

from mailgw.config.load import load_settings
from mailgw.history.tables import FILE, MIGRATIONS
from mailgw.state.database import connect
from tests.commands.files import CommandTest


class TraceTests(CommandTest):
    def setUp(self) -> None:
        super().setUp()
        self.history = Path(load_settings(self.configuration).state_directory) / FILE
        self.history.parent.mkdir(parents=True, exist_ok=True)
        connection = connect(self.history, MIGRATIONS)
        row = ("01AAAAAAAA000001", 1.0, "mx", "192.0.2.1", "a@b", "", "c@d", "x", "", 1, "inbox", 0.0, "", "")
        connection.execute(f"INSERT INTO messages VALUES (NULL{',?' * len(row)})", row)
        connection.close()

    def test_nothing_found(self) -> None:
        self.assertIn("no such message", self.run_command("trace", "--subject", "50%_\\*'\"", code=1).output)

    def test_a_pattern_that_is_too_long(self) -> None:
        output = self.run_command("trace", "--subject", "a" * 60_000, code=1).output
        self.assertIn("Error: the history cannot be read: LIKE or GLOB pattern too complex", output)

    def test_a_damaged_file(self) -> None:
        data = bytearray(self.history.read_bytes())
        data[4096:] = b"\xff" * (len(data) - 4096)
        self.history.write_bytes(bytes(data))
        self.assertIn("Error: the history cannot be read", self.run_command("trace", code=1).output)
