"""`mailgw quarantine`: mail that is held until somebody releases it, or its time is over."""

from __future__ import annotations

import json
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeVar

import click
from rich.table import Table

from mailgw.commands.configuration import config_option, read_settings
from mailgw.commands.output import console, moment, printable
from mailgw.commands.queues import open_queues
from mailgw.commands.times import Moment
from mailgw.history import tables
from mailgw.history.recorder import insert_fate
from mailgw.queue import surgery
from mailgw.queue.item import Delivery
from mailgw.queue.selection import Selection
from mailgw.queue.store import Entry
from mailgw.queue.surgery import Surgery
from mailgw.state.database import StateUnusable, connect, transact

F = TypeVar("F", bound=Callable[..., Any])
_SHOWN = 2000


@click.group()
def quarantine() -> None:
    """Look after mail that is held, while the gateway runs or not."""


def _selectors(command: F) -> F:
    """Give a command IDs, and what else selects messages."""
    for option in (
        click.option("--until", type=Moment(), help="Only what came before then."),
        click.option("--since", type=Moment(), help="Only what came from then on: 7d, 12h, 2026-11-28."),
        click.option("--to", "recipient", default="", help="Only with this in a recipient's address."),
        click.option("--from", "sender", default="", help="Only with this in the sender or user."),
        click.argument("ids", metavar="[ID]...", nargs=-1),
    ):
        command = option(command)
    return command


_learn_option = click.option(
    "--learn", type=click.Choice(["ham", "spam"]), help="Teach the classifier that they are wanted, or not."
)


@quarantine.command("list")
@config_option
@_selectors
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def list_held(as_json: bool, **selection: Any) -> None:
    """List what is held, the oldest first."""
    with open_queues(Surgery) as queues:
        entries = [entry for _, entry in _select(queues, **selection)]
        if as_json:
            for entry in entries:
                click.echo(json.dumps(_data(entry)))
            return
    if entries:
        table = Table("message", "received (UTC)", "from", "to", "subject", "score", "thrown away (UTC)")
        for entry in entries:
            data = _data(entry)
            table.add_row(
                data["id"],
                moment(data["received"]),
                printable(data["identity"] or data["sender"] or "<>"),
                printable(", ".join(data["recipients"])),
                printable(data["subject"]),
                f"{data['score']:.2f}",
                moment(data["until"]),
            )
        console().print(table)
    click.echo(f"{len(entries)} messages are held")


@quarantine.command()
@config_option
@click.argument("message_id", metavar="ID")
@click.option("--raw", is_flag=True, help="Write the whole message to standard output, as it came.")
def show(message_id: str, raw: bool) -> None:
    """Show a held message: why it is held, its header and the beginning of its text."""
    with open_queues(Surgery) as queues:
        only = Selection(ids=frozenset({message_id.upper()}), held=True)
        entry = next((entry for queue in queues for entry in _entries(queue, only)), None)
        if entry is None:
            raise click.ClickException(f"{message_id} is not held")
        with entry.message.message.content.open() as file:
            if raw:
                while chunk := file.read(1 << 16):
                    click.echo(chunk, nl=False)
                return
            body = file.read(len(entry.message.message.head) + _SHOWN)[len(entry.message.message.head) :]
    data = _data(entry)
    grid = Table.grid(padding=(0, 2))
    for name in ("id", "sender", "identity", "recipients", "reason"):
        value = data[name]
        grid.add_row(name, printable(", ".join(value) if isinstance(value, list) else str(value)))
    grid.add_row("received (UTC)", moment(data["received"]))
    grid.add_row("thrown away (UTC)", moment(data["until"]))
    for fact in entry.message.verdict.lines if entry.message.verdict is not None else ():
        grid.add_row("", printable(f"{fact.points:+.2f} {fact.symbol} {fact.detail}"))
    console().print(grid)
    click.echo("")
    for field in entry.message.message.fields:
        click.echo(printable(f"{field.name}: {field.text}"))
    click.echo("")
    for line in body.decode(errors="replace").splitlines():
        click.echo(printable(line))


@quarantine.command()
@config_option
@_selectors
@_learn_option
@click.option("--dry-run", is_flag=True, help="Only say what would be released.")
def release(dry_run: bool, learn: Literal["ham", "spam"] | None, **selection: Any) -> None:
    """Let messages go on to where they were going when they were held."""
    settings = read_settings()
    with open_queues(Surgery) as queues:
        chosen = _chosen(queues, selection)
        entries = [entry for _, entry in chosen]
        names = [entry.message.id for entry in entries]
        if dry_run:
            _tell("would be released", entries)
            return
        _learn(learn, entries)
        changed = _change(chosen, surgery.release(time.time(), settings.queue.lifetime))
    _note(Path(settings.state_directory), "released", changed)
    _ended("released", names, changed)


@quarantine.command()
@config_option
@_selectors
@_learn_option
@click.option("--dry-run", is_flag=True, help="Only say what would be deleted.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def delete(dry_run: bool, yes: bool, learn: Literal["ham", "spam"] | None, **selection: Any) -> None:
    """Throw messages away, for good. Nobody is told."""
    settings = read_settings()
    with open_queues(Surgery) as queues:
        chosen = _chosen(queues, selection)
        entries = [entry for _, entry in chosen]
        names = [entry.message.id for entry in entries]
        if dry_run:
            _tell("would be deleted", entries)
            return
        if not yes:
            _tell("will be deleted", entries)
            click.confirm(f"Delete {len(names)} messages?", abort=True)
        _learn(learn, entries)
        changed = _change(chosen, surgery.discard(time.time()))
    _note(Path(settings.state_directory), "deleted", changed)
    _ended("deleted", names, changed)


def _learn(kind: Literal["ham", "spam"] | None, entries: Sequence[Entry]) -> None:
    """Teach the classifier, before the messages may be gone."""
    if kind is None:
        return
    from mailgw.commands.learn import learn_messages

    with tempfile.TemporaryDirectory() as folder:
        for entry in entries:
            with entry.message.message.content.open() as source, open(Path(folder) / entry.message.id, "wb") as copy:
                shutil.copyfileobj(source, copy)
        learn_messages(kind, tuple(sorted(Path(folder).iterdir())))


Chosen = Sequence[tuple[Surgery, Entry]]
"""Held messages, each with the queue that it stands in."""


def _change(chosen: Chosen, change: surgery.Change) -> list[Delivery]:
    changed: list[Delivery] = []
    for queue, entry in chosen:
        queue.change(entry.deliveries, change, changed.extend)
    return changed


def _chosen(queues: Sequence[Surgery], selection: dict[str, Any]) -> Chosen:
    if not any(value for value in selection.values()):
        raise click.UsageError("say which: IDs, --from, --to, --since or --until")
    chosen = _select(queues, **selection)
    missing = {name.upper() for name in selection["ids"]} - {entry.message.id for _, entry in chosen}
    if missing:
        raise click.ClickException(f"not held: {', '.join(sorted(missing))}")
    return chosen


def _select(
    queues: Sequence[Surgery],
    ids: Sequence[str],
    sender: str,
    recipient: str,
    since: float | None,
    until: float | None,
) -> Chosen:
    """Select messages, the oldest first, each with all its held deliveries."""
    selection = Selection(ids=frozenset(name.upper() for name in ids), since=since, until=until, held=True)

    def matches(entry: Entry) -> bool:
        message = entry.message
        senders = f"{message.envelope.reverse_path or ''} {message.identity}".lower()
        recipients = " ".join(str(d.recipient.forward_path) for d in entry.deliveries).lower()
        return sender.lower() in senders and recipient.lower() in recipients

    found = [(queue, entry) for queue in queues for entry in _entries(queue, selection) if matches(entry)]
    return sorted(found, key=lambda pair: pair[1].message.id)


def _entries(queue: Surgery, selection: Selection) -> Iterator[Entry]:
    queue.select(selection)
    return queue.entries()


def _data(entry: Entry) -> dict[str, Any]:
    message, verdict = entry.message, entry.message.verdict
    subject = message.message.get("subject")
    return {
        "id": message.id,
        "received": message.received,
        "sender": str(message.envelope.reverse_path or ""),
        "identity": message.identity,
        "recipients": [str(delivery.recipient.forward_path) for delivery in entry.deliveries],
        "subject": "" if subject is None else subject.text[:200],
        "size": message.message.size,
        "score": 0.0 if verdict is None else verdict.score,
        "reason": "" if verdict is None else verdict.reason,
        "until": min(delivery.due for delivery in entry.deliveries),
    }


def _tell(what: str, entries: Sequence[Entry]) -> None:
    for entry in entries:
        data = _data(entry)
        text = f"{data['id']} from {data['identity'] or data['sender'] or '<>'} for {', '.join(data['recipients'])}"
        click.echo(printable(f"{text}: {data['subject']}"))
    click.echo(f"{len(entries)} messages {what}")


def _ended(what: str, names: Collection[str], changed: Sequence[Delivery]) -> None:
    done = {delivery.message_id for delivery in changed}
    click.echo(f"{len(done)} messages {what}")
    late = [name for name in names if name not in done]
    if late:
        raise click.ClickException(f"too late, their time is over or somebody was faster: {', '.join(late)}")


def _note(state: Path, event: str, deliveries: Sequence[Delivery]) -> None:
    """Put it into the history, where one is kept."""
    path = state / tables.FILE
    if not path.exists():
        return
    now = time.time()
    rows = [
        (d.message_id, now, event, str(d.recipient.forward_path), str(d.destination), "", "by the command line", 0)
        for d in deliveries
    ]
    try:
        connection = connect(path, tables.MIGRATIONS)
        try:
            transact(connection, [partial(insert_fate, row=row) for row in rows])
        finally:
            connection.close()
    except (StateUnusable, sqlite3.Error) as error:
        click.echo(f"it is done, but not noted in the history: {error}", err=True)
