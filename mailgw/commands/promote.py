"""`mailgw promote`: makes an expectation test of a message that was here."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import click

from mailgw.commands.configuration import config_option, read_settings
from mailgw.commands.output import moment, printable
from mailgw.commands.trace import open_history
from mailgw.config.schema import Settings
from mailgw.history.kept import Facts
from mailgw.history.search import Row
from mailgw.mail.evidence import Evidence
from mailgw.mail.verdict import Action
from mailgw.queue.listing import Listing
from mailgw.queue.store import QueueUnusable

_DIVIDER = b"---\n"


@click.command()
@config_option
@click.argument("message_id", metavar="ID")
@click.option("--expect", type=click.Choice(get_args(Action)), help="The verdict that it should have had.")
@click.option("--message", "with_message", is_flag=True, help="With its content, while it is in queue or quarantine.")
@click.option("--file", type=click.File("rb"), help="With the content in this file.")
@click.option("--output", help="The file to write (`-`: standard output). By default ID.eml in tests_directory.")
def promote(message_id: str, expect: str | None, with_message: bool, file: object, output: str | None) -> None:
    """Make a test of etc/tests of the message ID, as it was judged; --expect says how it should have been.

    The test states the evidence that was found then, so that it tries weights, thresholds and rules, and needs no
    content, which the history does not keep. With content (--message, --file) the filters run anew, and only what was
    found about the sender is stated.
    """
    settings = read_settings()
    with open_history() as history:
        row = history.message(message_id.upper())
        facts = None if row is None else history.facts(row.id)
    if row is None or facts is None or not facts.verdicts:
        raise click.ClickException(f"{message_id} has no verdict in the history")
    content: bytes | None = None
    if file is not None:
        content = file.read()  # type: ignore[attr-defined]
    elif with_message:
        content = _content(settings, {kept.id for kept in facts.verdicts if kept.id})
    text = _text(settings, row, facts, expect, with_message=content is not None).encode()
    if content is not None:
        text += _DIVIDER + content.replace(b"\r\n", b"\n")
    if output == "-":
        click.echo(text, nl=False)
        return
    path = Path(output) if output else Path(settings.tests_directory) / f"{row.id}.eml"
    try:
        path.parent.mkdir(exist_ok=True)
        with open(path, "xb") as stream:
            stream.write(text)
    except OSError as error:
        raise click.ClickException(f"cannot write {path}: {error.strerror}") from None
    click.echo(f"{path} is written; `mailgw check` tries it")


def _content(settings: Settings, names: set[str]) -> bytes:
    try:
        with Listing(Path(settings.state_directory) / "queue") as listing:
            for name in sorted(names):
                entry = listing.entry(name)
                if entry is not None:
                    with entry.message.message.content.open() as stream:
                        return stream.read()
    except QueueUnusable as error:
        raise click.ClickException(str(error)) from None
    raise click.ClickException("its content is not here any more: it is in neither queue nor quarantine; use --file")


def _text(settings: Settings, row: Row, facts: Facts, expect: str | None, *, with_message: bool) -> str:
    client = facts.client
    lines = [f"# {row.id} of {moment(row.time)}: {row.subject}", f"client {client.address}"]
    lines += [f"helo {client.helo}"] if client.helo else []
    lines += [f"user {client.identity}"] if client.identity else []
    lines += [f"mail_from {row.sender or '<>'}", *(f"rcpt {recipient}" for recipient in facts.recipients)]
    if with_message:
        lines.append(f"at {moment(row.time).replace(' ', 'T')}")
    lines += [_evidence(piece) for piece in _stated(facts, with_message=with_message)]
    for kept in facts.verdicts:
        whose = [f" for {facts.recipients[number]}" for number in kept.recipients] if len(facts.verdicts) > 1 else [""]
        lines += [f"expect verdict {expect or kept.verdict.action}{who}" for who in whose]
    return "".join(f"{printable(line)}\n" for line in lines)


def _stated(facts: Facts, *, with_message: bool) -> list[Evidence]:
    from mailgw.filters.catalogue import ENGINES, FILTERS
    from mailgw.filters.correspondents import Correspondents

    answers = [piece for kept in facts.verdicts for piece in kept.answers]
    if not with_message:
        return [*facts.evidence, *answers]
    # A test asks no other programs, and remembers nobody.
    again = {entry.name for entry in FILTERS if entry.filter not in {*ENGINES, Correspondents}}
    return [piece for piece in (*facts.evidence, *answers) if piece.source not in again]


def _evidence(piece: Evidence) -> str:
    return f"evidence {piece.symbol} {piece.strength:g} {piece.source.replace(' ', '') or '-'} {piece.detail}".rstrip()
