"""Files and folders that `mailgw reports read` is given."""

from __future__ import annotations

import mailbox
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import click
from attrs import define
from rich.console import Console
from rich.progress import Progress

from mailgw.commands.output import printable
from mailgw.reports.reading import Report, ReportRefused, read_reports

_MAX_FILE = 64 * 1024 * 1024


@define
class Counts:
    """`nothing` counts files and messages without a report in them."""

    read: int = 0
    known: int = 0
    nothing: int = 0
    refused: int = 0


def read_paths(paths: Sequence[Path], store: Callable[[Report], bool]) -> Counts:
    """Read everything, with a progress bar on a terminal. `store` says whether a report is new."""
    counts = Counts()
    files = [file for path in paths for file in _files(path)]
    with Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as progress:
        for file in progress.track(files, description="reading"):
            for name, data in _messages(file, counts):
                _read(name, data, store, counts)
    return counts


def _read(name: str, data: bytes, store: Callable[[Report], bool], counts: Counts) -> None:
    found = 0
    try:
        for report in read_reports(data):
            found += 1
            if store(report):
                counts.read += 1
            else:
                counts.known += 1
    except ReportRefused as error:
        _refuse(name, str(error), counts)
        return
    counts.nothing += not found


def _files(path: Path) -> Iterator[Path]:
    """A folder stands for everything below it: Maildirs are folders too."""
    if not path.is_dir():
        yield path
        return
    for file in sorted(path.rglob("*")):
        if file.is_file() and not file.is_symlink() and file.parent.name != "tmp":
            yield file


def _messages(path: Path, counts: Counts) -> Iterator[tuple[str, bytes]]:
    """Give the content of a file; of an mbox, each message."""
    try:
        with path.open("rb") as file:
            is_mbox = file.read(5) == b"From "
        if is_mbox:
            box = mailbox.mbox(path, create=False)
            for number, key in enumerate(box.keys(), 1):
                yield f"{path}, message {number}", box.get_bytes(key)
        elif path.stat().st_size > _MAX_FILE:
            _refuse(str(path), f"it is larger than {_MAX_FILE} octets", counts)
        else:
            yield str(path), path.read_bytes()
    except OSError as error:
        _refuse(str(path), error.strerror or str(error), counts)


def _refuse(name: str, reason: str, counts: Counts) -> None:
    counts.refused += 1
    click.echo(printable(f"{name}: {reason}"), err=True)
