"""The log: one line an event, as text for people or as JSON for machines."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any, TextIO

from twisted.logger import ILogObserver, LogEvent, LogLevel, formatEvent
from zope.interface import implementer

from mailgw.config.schema import Log

_OWN = frozenset({"event", "format", "message", "time", "system", "isError", "failure", "why"})


@implementer(ILogObserver)
class LineObserver:
    """Writes each event of at least the configured level as one line.

    `write` takes a line with its line end. A value that JSON does not know is written as its text.
    """

    def __init__(self, settings: Log, write: Callable[[str], Any]) -> None:
        self._level = LogLevel.levelWithName(settings.level)
        self._line = _json_line if settings.format == "json" else _text_line
        self._write = write

    def __call__(self, event: LogEvent) -> None:
        level = event.get("log_level", LogLevel.info)
        if event.get("log_namespace") == "log_legacy" and level == LogLevel.info:
            level = LogLevel.debug  # Twisted's own talk of ports and protocols
        if level >= self._level:
            self._write(self._line(event, level.name))


def observer(settings: Log, stream: TextIO) -> LineObserver:
    """Make the observer that writes to the configured file, or to `stream`. Raises OSError when it cannot be opened.

    Each line is flushed, so that nothing of the log is lost with the process.
    """
    target = stream
    if settings.file:
        target = open(settings.file, "a", encoding="utf-8")  # noqa: SIM115 - open as long as the process runs

    def write(line: str) -> None:
        target.write(line)
        target.flush()

    return LineObserver(settings, write)


def _timestamp(event: LogEvent) -> str:
    seconds = float(event.get("log_time", 0.0))
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{int(seconds * 1000) % 1000:03d}Z"


def _message(event: LogEvent) -> str:
    text = formatEvent(event)
    failure = event.get("log_failure")
    if failure is not None:
        text = f"{text}: {failure.getTraceback()}" if text else failure.getTraceback()
    return text


def _text_line(event: LogEvent, level: str) -> str:
    return f"{_timestamp(event)} {level} {_one_line(_message(event))}\n"


def _one_line(text: str) -> str:
    """Escape what is not printable: a newline in a value must not make a line that looks like an event of its own,
    and no peer writes to the terminal that shows the log."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def _json_line(event: LogEvent, level: str) -> str:
    record = {
        "time": _timestamp(event),
        "level": level,
        "event": event.get("event", event.get("log_namespace", "")),
        **{key: value for key, value in event.items() if not key.startswith("log_") and key not in _OWN},
        "message": _message(event),
    }
    return json.dumps(record, ensure_ascii=False, default=str) + "\n"
