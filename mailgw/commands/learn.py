"""`mailgw learn`: teach the classifier, take back what it was taught, and see how far it is."""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from mailgw.commands.configuration import ConfigurationRefused, config_option, read_settings
from mailgw.commands.messages import Found, find_messages
from mailgw.commands.output import console, moment, printable
from mailgw.config.errors import ConfigurationErrors

if TYPE_CHECKING:
    from mailgw.classifier.sample import Sample
    from mailgw.classifier.store import Learner, Status

_COMMIT_MESSAGES = 5000
_COMMIT_SECONDS = 60.0
_MOST_SHOWN = 20
LOCK_SECONDS = 60.0
"""How long it waits for another process that learns: a round of the gateway's takes a second, seldom more."""

Mode = Literal["spam", "ham", "forget", "status"]


@click.command()
@config_option
@click.option("--spam", "mode", flag_value="spam", help="The messages are spam.")
@click.option("--ham", "mode", flag_value="ham", help="The messages are wanted.")
@click.option("--forget", "mode", flag_value="forget", help="Take away what these messages taught.")
@click.option("--status", "mode", flag_value="status", help="Show what it has learned, and whether it speaks yet.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.argument("paths", nargs=-1, metavar="[PATH]...", type=click.Path(exists=True, path_type=Path))
def learn(mode: Mode | None, as_json: bool, paths: tuple[Path, ...]) -> None:
    """Teach the classifier what spam is and what ham is.

    PATH is a message, an mbox file, a Maildir, or a folder of those. A message is learned once, however often it is
    given; as the other kind, it is corrected. What was learned so far is kept when this is interrupted.
    """
    if mode is None:
        raise click.UsageError("say --spam, --ham, --forget or --status")
    if (mode == "status") == bool(paths):
        raise click.UsageError("--status takes no PATH" if paths else f"--{mode} needs a PATH")
    if mode == "status":
        _status(as_json)
    else:
        learn_messages(mode, paths, as_json=as_json)


def learn_messages(mode: Mode, paths: tuple[Path, ...], *, as_json: bool = False) -> None:
    """Teach it, and say how many it learned."""
    counts: Counter[str] = Counter()
    troubles: list[str] = []
    os.nice(19)
    with _learner() as learner, _progress() as progress:
        looking = progress.add_task("looking", total=None)
        found = [message for path in paths for message in find_messages(path)]
        progress.remove_task(looking)
        keep = _Commits(learner)
        for message in progress.track(found, description="forgetting" if mode == "forget" else f"learning {mode}"):
            try:
                counts[_one(learner, message, mode)] += 1
            except (OSError, ValueError) as error:
                counts["unreadable"] += 1
                troubles.append(f"{message.path}: {getattr(error, 'strerror', None) or error}")
            keep.now_and_then()
        keep.now()
    for trouble in troubles[:_MOST_SHOWN]:
        click.echo(f"unreadable: {printable(trouble)}", err=True)
    if len(troubles) > _MOST_SHOWN:
        click.echo(f"unreadable: {len(troubles) - _MOST_SHOWN} more", err=True)
    names = ("forgotten", "not learned") if mode == "forget" else ("learned", "corrected", "already known")
    if as_json:
        click.echo(json.dumps({name: counts[name] for name in (*names, "unreadable")}))
    else:
        click.echo(", ".join(f"{counts[name]} {name}" for name in (*names, "unreadable")))
    if not found:
        raise click.ClickException("there is no message at " + ", ".join(map(str, paths)))


def _one(learner: Learner, message: Found, mode: Mode) -> str:
    sample = _sample(message)
    if mode == "forget":
        return "forgotten" if learner.forget(sample) else "not learned"
    outcome = learner.learn(sample, spam=mode == "spam", source="command", now=time.time())
    return "already known" if outcome == "known" else outcome


def _sample(message: Found) -> Sample:
    from mailgw.filters.sampling import read_sample

    data = message.read()
    if not data.strip():
        raise ValueError("it is empty")
    return read_sample(data)


class _Commits:
    """Makes what was learned durable from time to time, so that an interrupted run need not begin anew."""

    def __init__(self, learner: Learner) -> None:
        self._learner = learner
        self._last = time.monotonic()

    def now_and_then(self) -> None:
        if self._learner.changed >= _COMMIT_MESSAGES or time.monotonic() - self._last > _COMMIT_SECONDS:
            self.now()

    def now(self) -> None:
        try:
            self._learner.commit()
        except OSError as error:
            raise click.ClickException(f"what was learned cannot be written: {error}; nothing is kept of it") from None
        self._last = time.monotonic()


@contextmanager
def _learner() -> Iterator[Learner]:
    # numpy takes a tenth of a second: the other commands do without it.
    from mailgw.classifier.store import Busy, Learner
    from mailgw.classifier.weights import ModelUnusable

    directory = _directory()
    until = time.monotonic() + LOCK_SECONDS
    try:
        while True:
            try:
                opened = Learner(directory)
                break
            except Busy as error:
                if time.monotonic() > until:
                    raise click.ClickException(f"{error}; try again later") from None
                time.sleep(0.1)
        with opened as learner:
            yield learner
    except (ModelUnusable, OSError) as error:
        raise click.ClickException(str(error)) from None


def _directory() -> Path:
    from mailgw.filters.classifier import directory_of

    return directory_of(read_settings().state_directory)


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )


def _status(as_json: bool) -> None:
    from mailgw.classifier.store import read_status
    from mailgw.classifier.weights import ModelUnusable

    try:
        status = read_status(_directory())
    except (ModelUnusable, OSError) as error:
        raise click.ClickException(str(error)) from None
    minimum, enabled = _minimum()
    facts = _facts(status, minimum, enabled)
    if as_json:
        click.echo(json.dumps(facts))
        return
    grid = Table.grid(padding=(0, 2))
    for name, value in _lines(status, facts):
        grid.add_row(name, value)
    console().print(grid)


def _minimum() -> tuple[int, bool]:
    """Give the filter's `minimum`, and whether it is enabled."""
    from mailgw.config.load import load_filter_file
    from mailgw.config.structure import structure_leniently
    from mailgw.filters.classifier import ClassifierSettings

    try:
        path = read_settings().filters_file
        section = load_filter_file(path).filters.get("classifier", {})
        settings, errors = structure_leniently(ClassifierSettings, section, path, "filters.classifier")
    except ConfigurationErrors as found:
        raise ConfigurationRefused(found.errors) from None
    if settings is None:
        raise ConfigurationRefused(tuple(errors))
    return settings.minimum, settings.enabled


def _facts(status: Status, minimum: int, enabled: bool) -> dict[str, Any]:
    trained = status.trained
    spam, ham = (trained.model.spam, trained.model.ham) if trained else (0, 0)
    return {
        "spam": spam,
        "ham": ham,
        "minimum": minimum,
        "enabled": enabled,
        "speaks": enabled and min(spam, ham) >= minimum,
        "since": trained.since if trained else None,
        "until": trained.until if trained else None,
        "sources": [{"source": s, "kind": _kind(k), "count": n} for (s, k), n in sorted(status.counts.items())],
        "calibration": {"slope": trained.calibration.slope, "offset": trained.calibration.offset} if trained else None,
        "wrong": {_kind(kind): {"wrong": wrong, "of": of} for kind, (wrong, of) in status.errors.items()},
    }


def _lines(status: Status, facts: dict[str, Any]) -> Iterator[tuple[str, str]]:
    names = {"command": "mailgw learn", "moved": "moved by users", "verdict": "verdicts"}
    sources = ((names.get(entry["source"], entry["source"]), entry) for entry in facts["sources"])
    yield "learned", f"{facts['spam']:,} spam, {facts['ham']:,} ham"
    for name, entry in sources:
        yield "", f"{entry['count']:,} {entry['kind']} by {name}"
    if status.trained:
        yield "since (UTC)", moment(facts["since"])
        yield "last (UTC)", moment(facts["until"])
        calibration = facts["calibration"]
        yield "calibration", f"log-odds = {calibration['slope']:.2f} x score {calibration['offset']:+.2f}"
        for kind, entry in facts["wrong"].items():
            if entry["of"]:
                share = 100 * entry["wrong"] / entry["of"]
                yield f"{kind} not known", f"{entry['wrong']} of the last {entry['of']} ({share:.1f} %), when they came"
    yield "speaks", _speaks(facts)


def _speaks(facts: dict[str, Any]) -> str:
    if not facts["enabled"]:
        return "no: [filters.classifier] enabled = false"
    if facts["speaks"]:
        return "yes"
    missing = [
        f"{facts['minimum'] - facts[kind]:,} {kind}" for kind in ("spam", "ham") if facts[kind] < facts["minimum"]
    ]
    return f"not yet: {' and '.join(missing)} to learn before ([filters.classifier] minimum = {facts['minimum']})"


def _kind(spam: bool) -> str:
    return "spam" if spam else "ham"
