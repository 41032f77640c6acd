"""The log: one line an event."""

from __future__ import annotations

import io
import json

from twisted.logger import Logger, LogLevel
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from mailgw.config.schema import Log
from mailgw.operation.log import LineObserver, observer


class LogTests(SynchronousTestCase):
    def written(self, settings: Log) -> tuple[Logger, list[str]]:
        lines: list[str] = []
        return Logger(observer=LineObserver(settings, lines.append)), lines

    def test_json_has_the_event_its_ids_and_the_message(self) -> None:
        log, lines = self.written(Log(format="json"))
        log.info("accepted {transaction}", event="accepted", transaction="ID1", recipients=["a@b"], session="S")
        (line,) = lines
        record = json.loads(line)
        self.assertEqual(record["event"], "accepted")
        self.assertEqual(record["message"], "accepted ID1")
        self.assertEqual((record["transaction"], record["session"], record["recipients"]), ("ID1", "S", ["a@b"]))
        self.assertEqual(record["level"], "info")
        self.assertRegex(record["time"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")

    def test_a_value_cannot_make_a_second_line(self) -> None:
        for form in ("text", "json"):
            log, lines = self.written(Log(format=form))
            log.info("said {helo}", helo="a\r\n2026-01-01 forged\x1b[2J\x85")
            self.assertEqual(lines[0].count("\n"), 1, form)
            self.assertTrue(lines[0][:-1].isprintable() or form == "json", lines[0])
            self.assertNotIn("\x1b", lines[0])
            self.assertNotIn("\r", lines[0])

    def test_a_failure_is_one_line_with_its_traceback(self) -> None:
        log, lines = self.written(Log(format="text"))
        try:
            raise ValueError("ours")
        except ValueError:
            log.failure("it failed", failure=Failure())
        (line,) = lines
        self.assertIn("it failed: Traceback", line)
        self.assertIn("ours", line)
        self.assertEqual(line.count("\n"), 1)

    def test_what_is_below_the_level_is_not_written(self) -> None:
        log, lines = self.written(Log(level="warn"))
        log.info("quiet")
        log.warn("loud")
        self.assertEqual(len(lines), 1)

    def test_twisteds_talk_of_ports_is_for_debugging(self) -> None:
        lines: list[str] = []
        LineObserver(Log(), lines.append)(
            {"log_namespace": "log_legacy", "log_level": LogLevel.info, "log_format": "port opened", "log_time": 0.0}
        )
        self.assertEqual(lines, [])

    def test_a_value_that_json_does_not_know_is_its_text(self) -> None:
        log, lines = self.written(Log(format="json"))
        log.info("odd", odd=object)
        self.assertIn("class", json.loads(lines[0])["odd"])

    def test_a_file_is_appended_to(self) -> None:
        path = self.mktemp()
        for text in ("one", "two"):
            Logger(observer=observer(Log(file=path), io.StringIO())).info(text)
        with open(path) as file:
            self.assertEqual([line.split()[-1] for line in file], ["one", "two"])
