"""The log: one line an event."""

from __future__ import annotations

import io
import json
from pathlib import Path

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

    def test_a_json_line_is_printable_and_says_what_was_said(self) -> None:
        said = "a\u2028b\u2029c\x85d\x9b2Je\x7ff\ud800g\u202eh\x1bi\U000e0001 gr\u00fc\u00dfe"
        log, lines = self.written(Log(format="json"))
        log.info("said {helo}", helo=said)
        self.assertEqual(len(lines[0].splitlines()), 1)
        self.assertTrue(lines[0][:-1].isprintable(), lines[0])
        self.assertIn("gr\u00fc\u00dfe", lines[0])
        self.assertEqual(json.loads(lines[0])["helo"], said)

    def test_a_locale_that_lacks_a_character_does_not_lose_the_event(self) -> None:
        written = io.BytesIO()
        stream = io.TextIOWrapper(written, encoding="latin-1")
        Logger(observer=observer(Log(), stream)).info("to \u0142")
        self.assertIn(b"to \\u0142", written.getvalue())

    def test_a_file_that_cannot_be_opened_is_named_with_its_key(self) -> None:
        error = self.assertRaises(OSError, observer, Log(file="/nonexistent/mailgw.log"), io.StringIO())
        self.assertEqual(str(error), "log.file: cannot write /nonexistent/mailgw.log: No such file or directory")

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
        for namespace in ("log_legacy", "twisted.internet.protocol.Factory"):
            LineObserver(Log(), lines.append)(
                {"log_namespace": namespace, "log_level": LogLevel.info, "log_format": "opened", "log_time": 0.0}
            )
        self.assertEqual(lines, [])

    def test_a_value_that_json_does_not_know_is_its_text(self) -> None:
        log, lines = self.written(Log(format="json"))
        log.info("odd", odd=object)
        self.assertIn("class", json.loads(lines[0])["odd"])

    def test_a_daemon_needs_a_file(self) -> None:
        self.assertIn("log.file", str(self.assertRaises(OSError, observer, Log(), None)))

    def test_a_file_is_appended_to(self) -> None:
        path = self.mktemp()
        for text in ("one", "two"):
            Logger(observer=observer(Log(file=path), io.StringIO())).info(text)
        with open(path) as file:
            self.assertEqual([line.split()[-1] for line in file], ["one", "two"])

    def test_the_lines_of_a_worker_say_which_it_is(self) -> None:
        for form, expected in (("text", " info worker 1: started"), ("json", '"worker": 1')):
            lines: list[str] = []
            Logger(observer=LineObserver(Log(format=form), lines.append, worker=1)).info("started")
            self.assertIn(expected, lines[0])


class ReopenTests(SynchronousTestCase):
    def test_a_file_that_was_moved_away_is_opened_anew(self) -> None:
        path = Path(self.mktemp())
        observe = observer(Log(file=str(path)), None)
        observe({"log_level": LogLevel.info, "log_format": "one", "log_time": 0.0})
        moved = path.with_suffix(".1")
        path.rename(moved)
        observe({"log_level": LogLevel.info, "log_format": "two", "log_time": 0.0})
        observe.reopen()
        observe({"log_level": LogLevel.info, "log_format": "three", "log_time": 0.0})
        self.assertEqual([line.split()[-1] for line in moved.read_text().splitlines()], ["one", "two"])
        self.assertEqual([line.split()[-1] for line in path.read_text().splitlines()], ["three"])
