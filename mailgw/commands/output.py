"""Tables for people, and times as they read them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from rich.console import Console
from rich.progress import Progress


def console() -> Console:
    """Give a console on the standard output of now; without a terminal lines are 200 characters."""
    width = None if sys.stdout.isatty() else 200
    return Console(file=sys.stdout, width=width, highlight=False, markup=False, emoji=False)


def moment(seconds: float) -> str:
    """Write a wall clock time in UTC."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")


def printable(text: str) -> str:
    """Make text from a stranger safe for a terminal: control characters become `?`."""
    return "".join(c if c.isprintable() else "?" for c in text)


@contextmanager
def progress(doing: str, total: int) -> Iterator[Callable[[int], None]]:
    """Show a bar on standard error while long work goes on, where that is a terminal. Gives what moves it on."""
    with Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task(doing, total=total)
        yield lambda steps: bar.advance(task, steps)
