"""`mailgw explain`: what the gateway would make of a message, line by line."""

from __future__ import annotations

import os
import random
import re
from typing import Any

import click
from attrs import frozen

from mailgw.commands.configuration import config_option, config_path
from mailgw.commands.parameters import IpAddress
from mailgw.commands.running import run_in_reactor
from mailgw.commands.trace import open_history
from mailgw.mail.address import AddressError, Mailbox
from mailgw.mail.envelope import Envelope, Recipient
from mailgw.mail.identifiers import new_id
from mailgw.mail.message import Message
from mailgw.mail.transaction import Client, Transaction

# mail.identifiers.new_id
_ID = re.compile(r"[0-9A-HJKMNP-TV-Z]{16}")
_LONE_NEWLINE = re.compile(rb"\r\n|\r|\n")


@frozen
class Question:
    """The message, and what the client would have said with it."""

    content: bytes
    client_ip: str
    helo: str
    mail_from: Mailbox | None
    recipients: tuple[Mailbox, ...]
    identity: str


class _Address(click.ParamType[Mailbox | None]):
    """An address; `<>` is the null reverse-path."""

    name = "address"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Mailbox | None:
        text = str(value).strip()
        try:
            return None if text in ("", "<>") else Mailbox.parse(text.removeprefix("<").removesuffix(">"))
        except AddressError as error:
            self.fail(f"{text!r}: {error}", param, ctx)


@click.command()
@config_option
@click.argument("source", metavar="FILE|ID")
@click.option("--client-ip", type=IpAddress(), default="127.0.0.1", show_default=True, help="The client's IP address.")
@click.option("--helo", default="localhost", show_default=True, help="What it says in EHLO.")
@click.option("--mail-from", type=_Address(), default="<>", show_default=True, help="The reverse-path.")
@click.option("--rcpt", type=_Address(), multiple=True, help="A forward-path; may be given several times.")
@click.option("--user", default="", help="Judge it as mail that this authenticated user submits.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def explain(
    source: str,
    client_ip: str,
    helo: str,
    mail_from: Mailbox | None,
    rcpt: tuple[Mailbox, ...],
    user: str,
    as_json: bool,
) -> None:
    """Show each line of a verdict: of a message that was here, by its ID, as it was judged then; or of the message in
    FILE (`-`: standard input), judged now with the configuration.

    Nothing is delivered. For a file DNS is asked as the gateway would ask it.
    """
    if _ID.fullmatch(source.upper()) and not os.path.exists(source):
        click.echo(_from_history(source.upper(), as_json), nl=False)
        return
    try:
        with click.open_file(source, "rb") as file:
            content = _LONE_NEWLINE.sub(b"\r\n", file.read())
    except OSError as error:
        raise click.ClickException(f"cannot read {source}: {error.strerror}") from None
    question = Question(content, client_ip, helo, mail_from, tuple(filter(None, rcpt)), user)
    answers: list[str] = []
    run_in_reactor(lambda reactor: _answer(reactor, question, as_json, answers))
    click.echo("".join(answers), nl=False)


def _from_history(message_id: str, as_json: bool) -> str:
    from mailgw.verdict import explain as explanation

    with open_history() as history:
        row = history.message(message_id)
        facts = None if row is None else history.facts(row.id)
    if row is None:
        raise click.ClickException(f"{message_id} is not in the history: it is older, or was never here")
    if facts is None or not facts.verdicts:
        raise click.ClickException(f"{message_id} had no verdict: {row.reply or 'it is a report of ours'}")
    outbound = bool(facts.client.identity)
    explained = [explanation.explain(kept.verdict, kept.policy, outbound=outbound) for kept in facts.verdicts]
    names = [[facts.recipients[number] for number in kept.recipients] for kept in facts.verdicts]
    if as_json:
        return explanation.to_json(explained, names, facts.auth) + "\n"
    return explanation.to_text(explained, names, facts.auth)


async def _answer(reactor: Any, question: Question, as_json: bool, answers: list[str]) -> None:
    from mailgw.composition.etc import load
    from mailgw.composition.judging import make_judge, make_resolver
    from mailgw.operation.threads import ThreadsInline
    from mailgw.verdict import explain as explanation
    from mailgw.verdict.judgement import for_one_reply

    entropy = random.SystemRandom()
    threads = ThreadsInline()
    etc = load(config_path(), reactor, threads)
    resolver = make_resolver(etc, reactor, entropy)
    client = Client(
        session_id="explain",
        service="submission" if question.identity else "mx",
        address=question.client_ip,
        helo=question.helo,
        esmtp=True,
        identity=question.identity,
    )
    transaction = Transaction(
        new_id(reactor.seconds(), os.urandom(5)),
        client,
        Envelope(question.mail_from, tuple(Recipient(mailbox) for mailbox in question.recipients)),
        Message.from_bytes(question.content),
    )
    judge = make_judge(etc, resolver, reactor, threads)
    judged = for_one_reply(await judge.judge(transaction, judge.begin(client, question.mail_from)))
    explained = [explanation.explain(one.verdict, one.policy, outbound=bool(question.identity)) for one in judged]
    names = [[str(question.recipients[number]) for number in one.recipients] for one in judged]
    if as_json:
        answers.append(explanation.to_json(explained, names, transaction.auth) + "\n")
    else:
        answers.append(explanation.to_text(explained, names, transaction.auth))
    await resolver.stop()
