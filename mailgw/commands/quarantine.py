"""`mailgw quarantine`: mail that is held until somebody releases it, or its time is over."""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from heapq import merge
from itertools import islice
from pathlib import Path
from typing import Any, Literal, TypeVar

import click
from rich.table import Table

from mailgw.commands.configuration import config_option, read_settings
from mailgw.commands.fate_notes import FateNotes
from mailgw.commands.output import console, moment, printable
from mailgw.commands.queues import open_queues
from mailgw.commands.times import Moment
from mailgw.queue import surgery
from mailgw.queue.item import Delivery
from mailgw.queue.listing import Listing
from mailgw.queue.selection import Selection
from mailgw.queue.store import Entry
from mailgw.queue.surgery import Surgery

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
@click.option("--limit", default=1000, show_default=True, type=click.IntRange(min=1), help="Messages to list.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def list_held(limit: int, as_json: bool, **chosen: Any) -> None:
    """List what is held, the oldest first."""
    selection = _selection(**chosen)
    with open_queues(Listing) as listings:
        entries = (listing.entries(limit, selection) for listing in listings)
        rows = map(_data, islice(merge(*entries, key=lambda entry: entry.message.id), limit))
        if as_json:
            for data in rows:
                click.echo(json.dumps(data))
            return
        table = Table("message", "received (UTC)", "from", "to", "subject", "score", "thrown away (UTC)")
        for data in rows:
            table.add_row(
                data["id"],
                moment(data["received"]),
                printable(data["identity"] or data["sender"] or "<>"),
                printable(", ".join(data["recipients"])),
                printable(data["subject"]),
                f"{data['score']:.2f}",
                moment(data["until"]),
            )
        messages = sum(listing.size(selection).messages for listing in listings)
    if table.row_count:
        console().print(table)
    shown = "" if table.row_count == messages else f", {table.row_count} of them shown"
    click.echo(f"{messages} messages are held{shown}")


@quarantine.command()
@config_option
@click.argument("message_id", metavar="ID")
@click.option("--raw", is_flag=True, help="Write the whole message to standard output, as it came.")
def show(message_id: str, raw: bool) -> None:
    """Show a held message: why it is held, its header and the beginning of its text."""
    with open_queues(Listing) as listings:
        only = Selection(ids=frozenset({message_id.upper()}), held=True)
        entry = next((entry for listing in listings for entry in listing.entries(1, only)), None)
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
def release(dry_run: bool, learn: Literal["ham", "spam"] | None, **chosen: Any) -> None:
    """Let messages go on to where they were going when they were held."""
    change = surgery.release(time.time(), read_settings().queue.lifetime)
    with open_queues(Surgery) as queues:
        messages = _choose(queues, chosen)
        if dry_run:
            _tell("would be released", queues, messages)
            return
        _learn(learn, queues)
        _change("released", queues, change, messages, chosen["ids"])


@quarantine.command()
@config_option
@_selectors
@_learn_option
@click.option("--dry-run", is_flag=True, help="Only say what would be deleted.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def delete(dry_run: bool, yes: bool, learn: Literal["ham", "spam"] | None, **chosen: Any) -> None:
    """Throw messages away, for good. Nobody is told."""
    with open_queues(Surgery) as queues:
        messages = _choose(queues, chosen)
        if dry_run:
            _tell("would be deleted", queues, messages)
            return
        if not yes:
            _tell("will be deleted", queues, messages)
            click.confirm(f"Delete {messages} messages?", abort=True)
        _learn(learn, queues)
        _change("deleted", queues, surgery.discard(time.time()), messages, chosen["ids"])


def _selection(ids: Sequence[str], sender: str, recipient: str, since: float | None, until: float | None) -> Selection:
    return Selection(
        ids=frozenset(name.upper() for name in ids),
        sender=f"*{sender}*" if sender else "",
        recipient=f"*{recipient}*" if recipient else "",
        since=since,
        until=until,
        held=True,
    )


def _choose(queues: Sequence[Surgery], chosen: dict[str, Any]) -> int:
    """Choose what is selected in each queue; give how many messages that are."""
    selection = _selection(**chosen)
    if selection.is_all:
        raise click.UsageError("say which: IDs, --from, --to, --since or --until")
    messages = sum(queue.select(selection).messages for queue in queues)
    if selection.ids:
        missing = selection.ids - {delivery.message_id for queue in queues for delivery in queue.deliveries()}
        if missing:
            raise click.ClickException(f"not held: {', '.join(sorted(missing))}")
    return messages


def _oldest_first(queues: Sequence[Surgery]) -> Iterator[Entry]:
    return merge(*(queue.entries() for queue in queues), key=lambda entry: entry.message.id)


def _learn(kind: Literal["ham", "spam"] | None, queues: Sequence[Surgery]) -> None:
    """Teach the classifier, before the messages may be gone."""
    if kind is None:
        return
    from mailgw.commands.learn import learn_messages

    with tempfile.TemporaryDirectory() as folder:
        for entry in _oldest_first(queues):
            with entry.message.message.content.open() as source, open(Path(folder) / entry.message.id, "wb") as copy:
                shutil.copyfileobj(source, copy)
        learn_messages(kind, tuple(sorted(Path(folder).iterdir())))


def _change(what: str, queues: Sequence[Surgery], change: surgery.Change, messages: int, ids: Sequence[str]) -> None:
    """Change what is chosen, put it into the history, say how it went."""
    done: set[str] = set()
    with closing(FateNotes(Path(read_settings().state_directory), what)) as history:

        def note(changed: Sequence[Delivery]) -> None:
            done.update(delivery.message_id for delivery in changed)
            history.note(changed)

        for queue in queues:
            queue.change(queue.deliveries(), change, note)
    click.echo(f"{len(done)} messages {what}")
    if late := messages - len(done):
        names = ", ".join(sorted({name.upper() for name in ids} - done)) or f"{late} messages"
        raise click.ClickException(f"too late, their time is over or somebody was faster: {names}")


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


def _tell(what: str, queues: Sequence[Surgery], messages: int) -> None:
    for data in map(_data, _oldest_first(queues)):
        text = f"{data['id']} from {data['identity'] or data['sender'] or '<>'} for {', '.join(data['recipients'])}"
        click.echo(printable(f"{text}: {data['subject']}"))
    click.echo(f"{messages} messages {what}")
