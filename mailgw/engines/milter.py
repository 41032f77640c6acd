"""A milter as its client: one message told from CONNECT to the end of the body, in one dialogue after DATA.

The order is that of sendmail's engine: options, then each command with its macros before it; a reply to each, but where
the milter said that it gives none.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal

from attrs import define, field

from mailgw.engines import milter_wire as wire
from mailgw.engines.content import Pieces
from mailgw.engines.errors import Broken, Closed, Declined, quote
from mailgw.engines.facts import Facts, clean
from mailgw.engines.milter_wire import Actions, Options, Packet, PacketReader, Steps
from mailgw.engines.stream import Stream
from mailgw.mail.message import Message

Decision = Literal["accept", "reject", "tempfail", "discard"]

_DECISIONS: Mapping[str, Decision] = {"a": "accept", "r": "reject", "t": "tempfail", "d": "discard"}
# What goes with each command, and the number of its macro list (SMFIM_*).
_STAGE = {"C": 0, "H": 1, "M": 2, "R": 3, "T": 4, "E": 5, "N": 6}
_MOST = 1000
"""Replies before the last one of a message, SMFIR_PROGRESS too."""
_MOST_FIELDS = 50

_NAME = re.compile(r"[!-9;-~]{1,200}")
_NO_TEXT = re.compile(r"[\x00-\x08\x0a-\x1f\x7f\ud800-\udfff]")
_MAX_FIELD = 16 * 1024

_CHANGES = {
    "+": "add a recipient",
    "2": "add a recipient",
    "-": "delete a recipient",
    "b": "replace the body",
    "e": "change the sender",
    "h": "add a field",
    "i": "insert a field",
    "m": "change a field",
    "l": "set the macros",
}


@define
class Told:
    """What a milter made of a message."""

    decision: Decision = "accept"
    text: str = ""
    """Its reply, when it gave one: `550 5.7.1 Spam`."""
    quarantine: str = ""
    """Why it wants the message quarantined; empty: it does not."""
    refused_recipients: list[tuple[str, str]] = field(factory=list)
    """Recipients that it refused while the message goes on, each with its reply."""
    added: list[tuple[str, str]] = field(factory=list)
    """Fields that it wants added: name and value, lines folded with LF. Not more than 50."""
    not_done: list[str] = field(factory=list)
    """Changes that it asked for without leave."""


class _Final(Exception):
    """The milter has decided."""

    def __init__(self, decision: Decision, text: str = "") -> None:
        super().__init__(decision)
        self.decision = decision
        self.text = text


async def tell(stream: Stream, message: Message, pieces: Pieces, facts: Facts, actions: Actions) -> Told:
    """Tell a milter the message, and give what it made of it. `actions` are what it may ask for; `pieces` are the body,
    each of at most `wire.CHUNK` octets. Raises Broken or Declined.
    """
    dialogue = _Dialogue(stream, facts)
    await dialogue.negotiate(actions)
    try:
        await dialogue.envelope(facts)
        await dialogue.header(message)
        await dialogue.body(pieces)
    except _Final as final:
        dialogue.told.decision, dialogue.told.text = final.decision, final.text
    await dialogue.quit()
    return dialogue.told


class _Dialogue:
    def __init__(self, stream: Stream, facts: Facts) -> None:
        self.told = Told()
        self._stream = stream
        self._reader = PacketReader()
        self._received: list[Packet] = []
        self._unsent = b""
        self._options = Options()
        self._macros = _macros(facts)

    # What is told

    async def negotiate(self, actions: Actions) -> None:
        offered = Options(actions=actions, steps=Steps(sum(Steps)))
        self._unsent = offered.encode()
        try:
            reply = await self._reply()
        except Closed:
            # So libmilter says that it lacks an action.
            raise Broken(f"it does not work with the actions that it is offered ({_names(actions)})") from None
        if reply.code != "O":
            raise Declined(f"it refuses the actions that it is offered ({_names(actions)})")
        self._options = wire.read_options(reply.data, offered)

    async def envelope(self, facts: Facts) -> None:
        name = facts.name or f"[{facts.address}]"
        await self._step(wire.connect(name, facts.address, facts.port), "C", Steps.NO_CONNECT, Steps.SILENT_CONNECT)
        helo = wire.encode("H", wire.strings([facts.helo]))
        await self._step(helo, "H", Steps.NO_HELO, Steps.SILENT_HELO)
        sender = wire.encode("M", wire.strings([f"<{facts.reverse_path}>"]))
        await self._step(sender, "M", Steps.NO_MAIL, Steps.SILENT_MAIL)
        await self._recipients(facts.recipients)
        await self._step(wire.encode("T"), "T", Steps.NO_DATA, Steps.SILENT_DATA)

    async def _recipients(self, recipients: tuple[str, ...]) -> None:
        """Here a refusal is one of the recipient alone; when there is no other, it is one of the message."""
        last: _Final | None = None
        for recipient in recipients:
            self._macros["R"]["{rcpt_addr}"] = recipient
            command = wire.encode("R", wire.strings([f"<{recipient}>"]))
            try:
                await self._step(command, "R", Steps.NO_RCPT, Steps.SILENT_RCPT)
            except _Final as final:
                if final.decision not in ("reject", "tempfail"):
                    raise
                last = final
                self.told.refused_recipients.append((recipient, final.text or final.decision))
        if last is not None and len(self.told.refused_recipients) == len(recipients):
            raise last

    async def header(self, message: Message) -> None:
        space = Steps.LEADING_SPACE in self._options.steps
        for f in message.fields:
            command = wire.header(f.name, f.raw, leading_space=space)
            await self._step(command, "L", Steps.NO_HEADERS, Steps.SILENT_HEADER)
        await self._step(wire.encode("N"), "N", Steps.NO_END_OF_HEADER, Steps.SILENT_END_OF_HEADER)

    async def body(self, pieces: Pieces) -> None:
        """The body, and its end: there the milter says what it wants changed, then its last word."""
        while Steps.NO_BODY not in self._options.steps and (piece := await pieces.next()):
            if await self._step(wire.encode("B", piece), "B", Steps.NO_BODY, Steps.SILENT_BODY) == "s":
                break
        self._tell("E", wire.encode("E"))
        for _ in range(_MOST):
            reply = await self._reply()
            if self._change(reply):
                continue
            self._decide(reply)
            return
        raise Broken(f"it asks for more than {_MOST} changes")

    async def quit(self) -> None:
        await self._stream.send(wire.encode("Q"))

    # How

    async def _step(self, command: bytes, code: str, unwanted: Steps, silent: Steps) -> str:
        """Tell one thing where it is wanted, and take the reply where there is one; give its code."""
        if unwanted in self._options.steps:
            return ""
        self._tell(code, command)
        if silent in self._options.steps:
            if len(self._unsent) > wire.CHUNK:
                await self._flush()
            return ""
        reply = await self._reply()
        if reply.code == "s" and code == "B":
            return "s"
        self._decide(reply)
        return reply.code

    def _tell(self, code: str, command: bytes) -> None:
        values = self._macros.get(code)
        wanted = self._options.macros.get(_STAGE.get(code, -1))
        if values and wanted is not None:
            values = {name: value for name, value in values.items() if name in wanted or f"{{{name}}}" in wanted}
        values = {name: value for name, value in (values or {}).items() if value}
        self._unsent += (wire.macros(code, values) if values else b"") + command

    def _decide(self, reply: Packet) -> None:
        """Raises _Final for a decision, Broken for what is no reply."""
        if reply.code == "c":
            return
        if reply.code in _DECISIONS:
            raise _Final(_DECISIONS[reply.code])
        if reply.code == "y":
            text = clean(wire.read_strings(reply.data)[0].replace("\r\n", " ").strip())
            if text[:1] in ("4", "5"):
                raise _Final("tempfail" if text.startswith("4") else "reject", text[:500])
        elif reply.code in ("4", "f"):  # SMFIR_SHUTDOWN, SMFIR_CONN_FAIL: the connection is not wanted now
            raise _Final("tempfail", "421" if reply.code == "4" else "")
        raise Broken(f"its reply makes no sense here: {quote(reply.code.encode() + reply.data)}")

    def _change(self, reply: Packet) -> bool:
        """Take what the milter wants done with the message; give whether it was that."""
        if reply.code == "q" and Actions.QUARANTINE in self._options.actions:
            self.told.quarantine = (clean(wire.read_strings(reply.data)[0]) or "no reason given")[:500]
            return True
        if reply.code in ("h", "i") and Actions.ADD_HEADER in self._options.actions:
            name, value = ([*wire.read_strings(reply.data[4 if reply.code == "i" else 0 :]), "", ""])[:2]
            if len(self.told.added) < _MOST_FIELDS:
                self.told.added.append((name, value))
            return True
        if reply.code in _CHANGES or reply.code == "q":
            what = _CHANGES.get(reply.code, "quarantine the message")
            if len(self.told.not_done) < 20:
                self.told.not_done.append(f"{what} {quote(reply.data)}")
            return True
        return False

    async def _flush(self) -> None:
        data, self._unsent = self._unsent, b""
        if data:
            await self._stream.send(data)

    async def _reply(self) -> Packet:
        """Send what was told and wait for the reply to it. SMFIR_PROGRESS says to wait on."""
        await self._flush()
        for _ in range(_MOST):
            while not self._received:
                data = await self._stream.receive()
                if not data:
                    raise Closed("it closed the connection in the middle of a message")
                self._received.extend(self._reader.feed(data))
            reply = self._received.pop(0)
            if reply.code != "p":
                return reply
        raise Broken(f"it asked more than {_MOST} times to be waited for")


def make_field(name: str, value: str) -> bytes | None:
    """Give a field that a milter adds as it stands in a message; None when it is none (RFC 5322 2.2)."""
    lines = value.replace("\r\n", "\n").split("\n")
    folded = all(line[:1] in (" ", "\t") and line.strip() for line in lines[1:])
    if not _NAME.fullmatch(name) or not folded or len(value) > _MAX_FIELD or _NO_TEXT.search("".join(lines)):
        return None
    space = "" if value.startswith((" ", "\t")) else " "
    return (f"{name}:{space}" + "\r\n".join(lines) + "\r\n").encode()


def _macros(facts: Facts) -> dict[str, dict[str, str]]:
    """The macros that Sendmail and Postfix send by default, as far as we have their values."""
    version, _, cipher = facts.tls.partition(" ")
    local, _, domain = facts.reverse_path.rpartition("@")
    queue = {"i": facts.queue_id}
    return {
        "C": {
            "j": facts.hostname,
            "v": "mailgw",
            "_": f"{facts.name or 'unknown'} [{facts.address}]",
            "{daemon_name}": facts.service,
            "{client_addr}": facts.address,
            "{client_name}": facts.name or "unknown",
            "{client_port}": str(facts.port),
            "{client_ptr}": facts.name or "unknown",
        },
        "H": {"{tls_version}": version, "{cipher}": cipher},
        "M": {
            **queue,
            "{mail_addr}": facts.reverse_path,
            "{mail_host}": domain if local else "",
            "{auth_authen}": facts.user,
            "{auth_type}": "PLAIN" if facts.user else "",
        },
        "R": dict(queue),
        "T": queue,
        "N": queue,
        "E": queue,
    }


def _names(actions: Actions) -> str:
    return ", ".join(a.name.lower().replace("_", " ") for a in Actions if a in actions and a.name) or "none"
