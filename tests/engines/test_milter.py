"""The milter dialogue against a milter that a test scripts, with packets in any pieces."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from mailgw.engines.content import Pieces
from mailgw.engines.errors import Broken, Declined
from mailgw.engines.milter import Told, make_field, tell
from mailgw.engines.milter_wire import CHUNK, Actions, Options, PacketReader, Steps, encode, read_options, strings
from mailgw.mail.address import Mailbox
from mailgw.mail.envelope import Recipient
from mailgw.operation.threads import ThreadsInline
from tests.engines.support import facts
from tests.filters.support import make_transaction

OFFERED = Actions.QUARANTINE | Actions.SET_MACROS
DATA = b"From: a@b.test\r\nSubject:  two\r\n lines\r\nX-Tight:x\r\n\r\nBody\r\n"
SILENT = (
    Steps.SILENT_CONNECT | Steps.SILENT_HELO | Steps.SILENT_MAIL | Steps.SILENT_RCPT | Steps.SILENT_DATA
) | (Steps.SILENT_HEADER | Steps.SILENT_END_OF_HEADER | Steps.SILENT_BODY)  # fmt: skip


class ScriptedMilter:
    """A Stream with a milter at its other end. `replies` are packets by command; what is not there gets `c`.

    `told` lists what it was told, without macros; `macros` holds them by command.
    """

    def __init__(
        self,
        replies: Mapping[str, Sequence[bytes] | bytes] = {},
        *,
        steps: Steps = Steps(0),  # noqa: B008  # a value that nothing changes
        actions: int = 0,
        more_options: bytes = b"",
        seed: int = 0,
    ) -> None:
        self.replies: dict[str, list[bytes]] = {k: [v] if isinstance(v, bytes) else list(v) for k, v in replies.items()}
        self.options = Options(6, Actions(actions), steps).encode()[5:] + more_options
        self.steps = steps
        self.told: list[tuple[str, bytes]] = []
        self.macros: dict[str, dict[str, str]] = {}
        self.offered = b""
        self._entropy = random.Random(seed)
        self._reader = PacketReader()
        self._answers = b""

    @property
    def answered(self) -> bool:
        return bool(self._answers)

    def finish(self) -> None:
        raise AssertionError("milters are told QUIT")

    async def send(self, data: bytes) -> None:
        for packet in self._reader.feed(data):
            if packet.code == "D":
                names = [part.decode() for part in packet.data[1:].split(b"\0")[:-1]]
                self.macros[chr(packet.data[0])] = dict(zip(names[::2], names[1::2], strict=True))
                continue
            self.told.append((packet.code, packet.data))
            if packet.code == "O":
                self.offered = packet.data
                self._answers += b"".join(self.replies.get("O", [encode("O", self.options)]))
            elif packet.code in self.replies:
                self._answers += b"".join(self.replies[packet.code])
            elif packet.code != "Q" and not self._silent(packet.code):
                self._answers += encode("c")

    def _silent(self, code: str) -> bool:
        names = {"C": "CONNECT", "H": "HELO", "M": "MAIL", "R": "RCPT", "T": "DATA", "L": "HEADER", "B": "BODY"}
        name = "SILENT_" + {**names, "N": "END_OF_HEADER"}.get(code, "UNKNOWN")
        return Steps[name] in self.steps

    async def receive(self) -> bytes:
        size = self._entropy.choice((1, 2, 5, 100000))
        data, self._answers = self._answers[:size], self._answers[size:]
        return data  # b"" when it was told nothing that it answers: it is gone

    @property
    def codes(self) -> str:
        return "".join(code for code, _ in self.told)


class MilterTests(SynchronousTestCase):
    def tell(self, milter: ScriptedMilter, actions: Actions = OFFERED, data: bytes = DATA, **changes: Any) -> Told:
        transaction = make_transaction(data, **changes)
        message = transaction.message
        assert message is not None
        pieces = Pieces(message, ThreadsInline(), start=len(message.head), size=CHUNK)
        told: Told = self.successResultOf(
            Deferred.fromCoroutine(tell(milter, message, pieces, facts(**changes), actions))
        )
        return told

    def fails(self, milter: ScriptedMilter, kind: type[Exception] = Broken) -> str:
        message = make_transaction(DATA).message
        assert message is not None
        pieces = Pieces(message, ThreadsInline(), start=len(message.head), size=CHUNK)
        failure = self.failureResultOf(Deferred.fromCoroutine(tell(milter, message, pieces, facts(), OFFERED)), kind)
        return str(failure.value)

    def test_a_message_from_beginning_to_end(self) -> None:
        for seed in range(10):
            milter = ScriptedMilter(seed=seed)
            self.assertEqual(self.tell(milter, helo="mail.example.net", port=4711), Told())
            self.assertEqual(
                milter.told[1:],
                [
                    ("C", b"[192.0.2.1]\x004\x12\x67192.0.2.1\0"),
                    ("H", b"mail.example.net\0"),
                    ("M", b"<ann@example.net>\0"),
                    ("R", b"<bob@example.org>\0"),
                    ("T", b""),
                    ("L", b"From\0a@b.test\0"),
                    ("L", b"Subject\0 two\n lines\0"),
                    ("L", b"X-Tight\0x\0"),
                    ("N", b""),
                    ("B", b"Body\r\n"),
                    ("E", b""),
                    ("Q", b""),
                ],
            )

    def test_ipv6_and_the_null_reverse_path(self) -> None:
        milter = ScriptedMilter()
        self.tell(milter, address="2001:db8::1", reverse_path=None)
        self.assertEqual(milter.told[1], ("C", b"[2001:db8::1]\x006\0\x002001:db8::1\0"))
        self.assertIn(("M", b"<>\0"), milter.told)

    def test_options_are_version_6_with_the_actions_that_are_offered(self) -> None:
        milter = ScriptedMilter()
        self.tell(milter)
        self.assertEqual(milter.offered, b"\0\0\0\x06\0\0\x01\x20\0\x1f\xff\xff")

    def test_what_it_does_not_want_is_not_told(self) -> None:
        steps = Steps.NO_CONNECT | Steps.NO_HELO | Steps.NO_MAIL | Steps.NO_RCPT | Steps.NO_DATA
        milter = ScriptedMilter(steps=steps | Steps.NO_HEADERS | Steps.NO_END_OF_HEADER)
        self.tell(milter)
        self.assertEqual(milter.codes, "OBEQ")
        milter = ScriptedMilter(steps=Steps.NO_BODY)
        self.tell(milter)
        self.assertEqual(milter.codes, "OCHMRTLLLNEQ")

    def test_where_it_is_silent_no_reply_is_waited_for(self) -> None:
        milter = ScriptedMilter({"E": encode("r")}, steps=SILENT)
        self.assertEqual(self.tell(milter).decision, "reject")
        self.assertEqual(milter.codes, "OCHMRTLLLNBEQ")

    def test_leading_space_is_kept_where_it_is_wanted(self) -> None:
        milter = ScriptedMilter(steps=Steps.LEADING_SPACE)
        self.tell(milter)
        self.assertIn(("L", b"Subject\0  two\n lines\0"), milter.told)

    def test_macros(self) -> None:
        milter = ScriptedMilter()
        self.tell(milter, identity="ann", tls="TLSv1.3 X")
        self.assertEqual(milter.macros["C"]["j"], "mail.example.org")
        self.assertEqual(milter.macros["C"]["_"], "unknown [192.0.2.1]")
        self.assertEqual(milter.macros["H"], {"{tls_version}": "TLSv1.3", "{cipher}": "X"})
        self.assertEqual((milter.macros["M"]["i"], milter.macros["M"]["{auth_authen}"]), ("T1", "ann"))
        self.assertEqual(milter.macros["R"]["{rcpt_addr}"], "bob@example.org")
        self.assertEqual(milter.macros["E"], {"i": "T1"})

    def test_macros_that_it_chose(self) -> None:
        chosen = b"\0\0\0\x02i {auth_authen}\0" + b"\0\0\0\x00\0"
        milter = ScriptedMilter(more_options=chosen)
        self.tell(milter, identity="ann")
        self.assertEqual(milter.macros["M"], {"i": "T1", "{auth_authen}": "ann"})
        self.assertNotIn("C", milter.macros)

    def test_decisions_end_the_dialogue(self) -> None:
        for code, decision in (("a", "accept"), ("r", "reject"), ("t", "tempfail"), ("d", "discard")):
            for stage, codes in (("C", "OCQ"), ("M", "OCHMQ"), ("L", "OCHMRTLQ"), ("E", "OCHMRTLLLNBEQ")):
                milter = ScriptedMilter({stage: encode(code)})
                self.assertEqual(self.tell(milter).decision, decision)
                self.assertEqual(milter.codes, codes)

    def test_replies_of_its_own(self) -> None:
        told = self.tell(ScriptedMilter({"E": encode("y", b"550 5.7.1 Spam\r\n550 5.7.1 go away\x1b\0")}))
        self.assertEqual((told.decision, told.text), ("reject", "550 5.7.1 Spam 550 5.7.1 go away?"))
        told = self.tell(ScriptedMilter({"H": encode("y", b"451 4.7.1 later\0")}))
        self.assertEqual((told.decision, told.text), ("tempfail", "451 4.7.1 later"))
        self.assertEqual(self.tell(ScriptedMilter({"C": encode("4")})).decision, "tempfail")

    def test_progress_is_waited_for(self) -> None:
        milter = ScriptedMilter({"E": [encode("p"), encode("p"), encode("r")]})
        self.assertEqual(self.tell(milter).decision, "reject")

    def test_skip_ends_the_body_and_not_the_message(self) -> None:
        milter = ScriptedMilter({"B": encode("s"), "E": encode("r")}, steps=Steps.SKIP)
        self.assertEqual(self.tell(milter, data=DATA + b"x" * 200000).decision, "reject")
        self.assertEqual(milter.codes.count("B"), 1)

    def test_a_large_body_comes_in_chunks(self) -> None:
        milter = ScriptedMilter()
        self.tell(milter, data=DATA + b"x" * 200000)
        chunks = [data for code, data in milter.told if code == "B"]
        self.assertEqual(b"".join(chunks), b"Body\r\n" + b"x" * 200000)
        self.assertEqual(max(map(len, chunks)), CHUNK)

    def test_one_recipient_refused_of_two(self) -> None:
        recipients = tuple(Recipient(Mailbox(name, "example.org")) for name in ("bob", "eve"))
        milter = ScriptedMilter({"R": encode("y", b"550 5.1.1 no\0")})
        told = self.tell(milter, recipients=recipients)
        self.assertEqual((told.decision, told.text), ("reject", "550 5.1.1 no"))  # both: it is the message
        self.assertEqual([name for name, _ in told.refused_recipients], ["bob@example.org", "eve@example.org"])

        class OnlyBob(ScriptedMilter):
            async def send(self, data: bytes) -> None:
                self.replies["R"] = [encode("r" if b"<eve@" in data else "c")]
                await super().send(data)

        told = self.tell(OnlyBob(), recipients=recipients)
        self.assertEqual((told.decision, told.refused_recipients), ("accept", [("eve@example.org", "reject")]))

    def test_changes_at_the_end(self) -> None:
        changes = [
            encode("q", b"looks bad\0"),
            encode("h", strings(["X-Seen", "yes\n\tfolded"])),
            encode("i", b"\0\0\0\x00" + strings(["DKIM-Signature", " v=1"])),
            encode("m", b"\0\0\0\x01" + strings(["Subject", "[SPAM]"])),
            encode("b", b"another body"),
            encode("+", strings(["<eve@example.org>"])),
            encode("c"),
        ]
        told = self.tell(ScriptedMilter({"E": changes}, actions=OFFERED), OFFERED)
        self.assertEqual((told.decision, told.quarantine, told.added), ("accept", "looks bad", []))
        self.assertEqual(len(told.not_done), 5)
        self.assertTrue(any(change.startswith("change a field") for change in told.not_done))
        offered = OFFERED | Actions.ADD_HEADER
        told = self.tell(ScriptedMilter({"E": changes}, actions=offered), offered)
        self.assertEqual(told.added, [("X-Seen", "yes\n\tfolded"), ("DKIM-Signature", " v=1")])
        self.assertEqual(len(told.not_done), 3)

    def test_it_may_not_take_what_it_was_not_offered(self) -> None:
        self.assertIn("not offered", self.fails(ScriptedMilter(actions=Actions.CHANGE_BODY)))
        self.assertRaises(Broken, read_options, b"\0\0\0\x01" + bytes(8), Options())
        self.assertRaises(Broken, read_options, b"\0\0\0\x06", Options())

    def test_a_milter_that_does_not_work_with_what_it_is_offered(self) -> None:
        cause = self.fails(ScriptedMilter({"O": b""}))
        self.assertIn("does not work with the actions that it is offered (quarantine, set macros)", cause)
        self.fails(ScriptedMilter({"O": encode("r")}), Declined)

    def test_garbage_and_silence(self) -> None:
        for replies in (
            {"C": b"HTTP/1.1 400 Bad Request\r\n"},
            {"C": b"\0\0\0\0"},
            {"C": b"\xff\xff\xff\xff"},
            {"C": encode("Z")},
            {"C": encode("y")},
            {"C": encode("y", b"250 fine\0")},
            {"E": b""},
            {"E": encode("h", b"a\0b\0") * 1500},
            {"E": encode("p") * 1500},
            {"O": encode("O", bytes(3))},
        ):
            self.fails(ScriptedMilter(replies))

    def test_hostile_packets_raise_only_what_says_so(self) -> None:
        entropy = random.Random(3)
        for seed in range(300):
            stage = entropy.choice("OCHMRTLNBE")
            code = entropy.choice("acdrtyhimq+-2bel4fps")
            junk = encode(code, entropy.randbytes(entropy.randint(0, 30))) + entropy.choice((b"", encode("c")))
            milter = ScriptedMilter({stage: junk}, seed=seed)
            message = make_transaction(DATA).message
            assert message is not None
            pieces = Pieces(message, ThreadsInline(), start=len(message.head), size=CHUNK)
            telling = Deferred.fromCoroutine(tell(milter, message, pieces, facts(), OFFERED))
            results: list[Any] = []
            telling.addBoth(results.append)
            if not isinstance(results[0], Told):
                results[0].trap(Broken, Declined)


class FieldTests(SynchronousTestCase):
    def test_fields(self) -> None:
        self.assertEqual(make_field("X-A", "b"), b"X-A: b\r\n")
        self.assertEqual(make_field("X-A", " b\n\tc\r\n d"), b"X-A: b\r\n\tc\r\n d\r\n")

    def test_what_could_be_another_field_is_none(self) -> None:
        for name, value in (
            ("X-A", "b\nX-B: c"),
            ("X-A", "b\r\n\r\nbody"),
            ("X-A", "b\n \n c"),
            ("X-A", "b\rc"),
            ("X-A", "b\0"),
            ("X A", "b"),
            ("", "b"),
            ("X:A", "b"),
            ("X-A", "b" * 20000),
        ):
            self.assertIsNone(make_field(name, value), (name, value))
