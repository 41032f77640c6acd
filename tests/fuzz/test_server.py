"""What must hold for any bytes that a client sends to the server core."""

from __future__ import annotations

import base64
import os
import re

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from mailgw.mail.reply import Refuse
from mailgw.smtp import dsn, events, sasl, syntax
from mailgw.smtp.client import DotStuffer
from mailgw.smtp.server import Extensions
from tests.dialogue import replies
from tests.smtp.responder import LIMITS, Responder

# A nightly run asks for many: MAILGW_FUZZ_EXAMPLES=200000.
_EXAMPLES = int(os.environ.get("MAILGW_FUZZ_EXAMPLES", "0"))
OFFERED = Extensions(
    size=LIMITS.message_size, auth=("PLAIN", "LOGIN"), chunking=True, dsn=True, requiretls=True, xclient=True
)


def examples(usual: int) -> settings:
    """How many cases a test tries: `usual`, or what the environment asks for."""
    return settings(max_examples=_EXAMPLES or usual, deadline=None)


_LINES = [
    *(b"EHLO c", b"HELO c", b"MAIL FROM:<a@b>", b"MAIL FROM:<>", b"RCPT TO:<c@d>", b"RCPT TO:<unknown@d>", b"DATA"),
    *(b"RSET", b"NOOP", b"QUIT", b"VRFY x", b"HELP", b"STARTTLS", b"GET /", b"LHLO c"),
    *(b"BDAT 0", b"BDAT 3", b"BDAT 40", b"BDAT 700", b"BDAT 0 LAST", b"BDAT 5 LAST", b"BDAT x", b"BDAT 9 9"),
    *(b"PROXY UNKNOWN", b"XCLIENT ADDR=192.0.2.1", b"XCLIENT X"),
    *(b"AUTH PLAIN", b"AUTH LOGIN", b"AUTH PLAIN AHVzZXIAc2VjcmV0", b"*", b"YQ=="),
    *(b".", b"..", b"", b"a", b".a", b"\xff", b"\0", b"x" * 250, b"y" * 600),
]
line = st.sampled_from(_LINES) | st.binary(max_size=30)
line_end = st.sampled_from([b"\r\n"] * 12 + [b"\n", b"\r", b"", b"\n.\r\n", b"\r\n.\r\n"])
_TRANSACTION = b"EHLO c\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n"
prefix = st.sampled_from([b"", b"EHLO c\r\n", b"LHLO c\r\n", _TRANSACTION, _TRANSACTION + b"DATA\r\n"])
stream = st.builds(
    lambda start, lines: start + b"".join(a + b for a, b in lines),
    prefix,
    st.lists(st.tuples(line, line_end), max_size=25),
)


@st.composite
def cut(draw: st.DrawFn) -> tuple[bytes, list[bytes]]:
    """A stream, and the same in pieces."""
    data = draw(stream | st.binary(max_size=200))
    places = sorted(draw(st.sets(st.integers(0, len(data)), max_size=20)))
    edges = [0, *places, len(data)]
    return data, [data[a:b] for a, b in zip(edges, edges[1:], strict=False)]  # noqa: RUF007


_WORDS = [
    *(b"\r\n", b"\r\n", b"\r\n", b"\n", b"\r", b".", b"..", b"a", b"QUIT\r\n", b"\r\n.\r\n", b"\n.\n", b"\r.\r"),
    *(b"\n.\r\n", b"\r\n.\n", b"\r\n.\r", b"BDAT 1 LAST\r\n", b"\0", b"x" * 150),
]
# What a message may be made of to break its frame.
text = st.lists(st.sampled_from(_WORDS[:-2]) | st.binary(max_size=3), max_size=20).map(b"".join)
odd_text = st.lists(st.sampled_from(_WORDS), max_size=30).map(b"".join)


def play(pieces: list[bytes], *, lmtp: bool = False, normalise: bool = False) -> Responder:
    responder = Responder(OFFERED, tls=True, lmtp=lmtp, normalise=normalise)
    responder.receive(pieces)
    return responder


def sevenths(data: bytes) -> list[bytes]:
    return [data[n : n + 7] for n in range(0, len(data), 7)]


def kinds(responder: Responder) -> list[type]:
    """What was handed out beside content."""
    return [type(event) for event in responder.merged if not isinstance(event, events.Content)]


def crlf_only(data: bytes) -> bytes:
    """The plain way to make bare CRs and LFs CRLFs."""
    return b"\r\n".join(data.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n"))


class StreamTests(SynchronousTestCase):
    @examples(400)
    @given(cut(), st.booleans(), st.booleans())
    def test_any_cut_gives_the_same(self, case: tuple[bytes, list[bytes]], lmtp: bool, normalise: bool) -> None:
        data, pieces = case
        whole = play([data], lmtp=lmtp, normalise=normalise)
        cut_up = play(pieces, lmtp=lmtp, normalise=normalise)
        self.assertEqual(whole.merged, cut_up.merged)
        self.assertEqual(whole.output, cut_up.output)

    @examples(400)
    @given(st.lists(stream | st.binary(max_size=2000), max_size=6), st.booleans(), st.booleans(), st.booleans())
    def test_never_raises_and_holds_little(self, pieces: list[bytes], tls: bool, lmtp: bool, chunking: bool) -> None:
        offered = Extensions(size=2000, starttls=True, auth=("PLAIN", "LOGIN"), chunking=chunking)
        responder = Responder(offered, tls=tls, lmtp=lmtp)
        responder.receive(pieces)
        self.assertLessEqual(responder.held, LIMITS.auth_line)
        if responder.closed:
            self.assertEqual(responder.connection.buffered, 0)

    @examples(300)
    @given(cut())
    def test_a_body_never_becomes_a_command(self, case: tuple[bytes, list[bytes]]) -> None:
        """Between 354 and the end there is content only; and a body that a client has stuffed arrives as it was."""
        body = b"\r\n".join(case[0].replace(b"\r", b"").replace(b"\0", b"").split(b"\n")) + b"\r\n"
        stuffed = (b"\r\n" + body).replace(b"\r\n.", b"\r\n..")[2:]
        sent = b"EHLO c\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n" + stuffed + b".\r\nNOOP\r\n"
        for pieces in ([sent], sevenths(sent)):
            responder = play(pieces)
            expected = [events.Hello, events.Mail, events.Rcpt, events.Data, events.ContentEnd, events.Noop]
            self.assertEqual(kinds(responder), expected)
            end = responder.merged[-2]
            assert isinstance(end, events.ContentEnd)
            self.assertEqual(end.size, len(body))
            if end.problem is None:
                self.assertEqual(responder.content, body)

    @examples(300)
    @given(st.binary(max_size=300))
    def test_raw_body(self, body: bytes) -> None:
        """Whatever comes after 354, only CRLF.CRLF leads back to commands; otherwise the session closes."""
        responder = play([b"EHLO c\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n", body, b"\r\n.\r\nNOOP\r\n"])
        end = (b"\r\n" + body + b"\r\n.\r\n").index(b"\r\n.\r\n")
        data = body[: max(end - 2, 0)]
        clean = data.replace(b"\r\n", b"")
        if b"\r" in clean or b"\n" in clean:
            self.assertTrue(responder.closed)
            self.assertNotIn(events.Noop(), responder.events)


class ContentTests(SynchronousTestCase):
    """However a message comes, it is one message, and nothing of it is a command."""

    @examples(400)
    @given(odd_text, st.lists(st.integers(0, 60), max_size=8), st.booleans(), st.sampled_from(["SMTP", "LMTP"]))
    def test_a_chunk_never_becomes_a_command(self, body: bytes, sizes: list[int], normalise: bool, way: str) -> None:
        hello, lmtp = (b"LHLO c\r\n", True) if way == "LMTP" else (b"EHLO c\r\n", False)
        sent = hello + b"MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n"
        rest = body
        for size in sizes:
            chunk, rest = rest[:size], rest[size:]
            sent += b"BDAT %d\r\n%b" % (len(chunk), chunk)
        sent += b"BDAT %d LAST\r\n%bNOOP\r\n" % (len(rest), rest)
        whole, cut_up = (play(pieces, lmtp=lmtp, normalise=normalise) for pieces in ([sent], sevenths(sent)))
        self.assertEqual((whole.merged, whole.output), (cut_up.merged, cut_up.output))
        found = kinds(whole)
        self.assertEqual(found[:3] + found[-1:], [events.Hello, events.Mail, events.Rcpt, events.Noop])
        self.assertLessEqual(set(found[3:-1]), {events.Bdat, events.ChunkEnd, events.ContentEnd, events.Invalid})
        # One reply for each command, whatever became of its chunk; and nothing is closed.
        self.assertEqual(len(replies(whole.output)), 5 + len(sizes))
        self.assertFalse(whole.closed)
        ends = [event for event in whole.events if isinstance(event, events.ChunkEnd | events.ContentEnd)]
        expected = crlf_only(body) if normalise else body
        if any(end.problem for end in ends):
            self.assertTrue(expected.startswith(whole.content))
            return
        if expected and not expected.endswith(b"\n"):
            expected += b"\r\n"
        self.assertEqual(whole.content, expected)
        self.assertEqual(ends[-1].size, len(expected))
        self.relays_as_one(whole.content)

    @examples(400)
    @given(text)
    def test_normalised_data(self, body: bytes) -> None:
        """Only CRLF.CRLF ends the data; what stands before it is the message, with its line ends made CRLF."""
        stream = b"\r\n" + body + b"\r\n.\r\n"
        data = stream[: stream.index(b"\r\n.\r\n") + 2]
        sent = _TRANSACTION + b"DATA\r\n" + data[2:] + b".\r\nNOOP\r\n"
        for pieces in ([sent], sevenths(sent)):
            responder = play(pieces, normalise=True)
            expected = [events.Hello, events.Mail, events.Rcpt, events.Data, events.ContentEnd, events.Noop]
            self.assertEqual(kinds(responder), expected)
            content = crlf_only(data.replace(b"\r\n.", b"\r\n")[2:])
            if b"\0" not in content:
                self.assertEqual(responder.content, content)
                self.relays_as_one(content)

    @examples(300)
    @given(odd_text)
    def test_what_is_taken_by_data_is_one_message_for_every_next_hop(self, body: bytes) -> None:
        responder = play([_TRANSACTION + b"DATA\r\n" + body + b"\r\n.\r\n"])
        for number, event in enumerate(responder.merged):
            if isinstance(event, events.ContentEnd) and event.problem is None:
                before = responder.merged[number - 1]
                self.relays_as_one(before.data if isinstance(before, events.Content) else b"")

    def relays_as_one(self, content: bytes) -> None:
        """Every line of it ends in CRLF; sent on by DATA, it holds nothing that some server could take for the end."""
        self.assertEqual(content, crlf_only(content))
        stuffer = DotStuffer()
        wire = b"\r\n" + stuffer.feed(content) + stuffer.end()
        found = list(re.finditer(rb"[\r\n]\.[\r\n]", wire))
        self.assertEqual([match.end() for match in found], [len(wire) - 1])


class SyntaxTests(SynchronousTestCase):
    @examples(500)
    @given(st.text(alphabet=st.characters(exclude_categories=["Cc", "Cs"]), max_size=60), st.booleans())
    def test_arguments(self, text: str, smtputf8: bool) -> None:
        """A value, or a refusal; never anything else."""
        for argument in (
            text,
            f"FROM:<{text}>",
            f"FROM:<a@{text}> SMTPUTF8",
            f"FROM:<a@b> {text}",
            f"FROM:<{text}@b> SMTPUTF8",
        ):
            try:
                syntax.mail(argument, OFFERED, 1000)
            except Refuse as refuse:
                self.assertTrue(refuse.reply.permanent)
        for argument in (text, f"TO:<{text}>", f"TO:<a@[{text}]>", f"TO:<a@b> ORCPT={text}", f"TO:<a@b> NOTIFY={text}"):
            try:
                syntax.rcpt(argument, OFFERED, smtputf8)
            except Refuse as refuse:
                self.assertTrue(refuse.reply.permanent)
        syntax.auth(text, OFFERED)

    @examples(100)
    @given(st.text(alphabet=st.characters(max_codepoint=127)))
    def test_xtext(self, text: str) -> None:
        self.assertEqual(dsn.xtext_decode(dsn.xtext_encode(text)), text)

    @examples(100)
    @given(st.binary(max_size=40))
    def test_base64(self, data: bytes) -> None:
        self.assertEqual(syntax.auth_response(base64.b64encode(data)), events.AuthResponse(data))
        self.assertIsInstance(syntax.auth_response(data), events.AuthResponse | events.Invalid)


class SaslTests(SynchronousTestCase):
    @examples(100)
    @given(st.sampled_from(sasl.MECHANISMS), st.lists(st.none() | st.binary(max_size=20), min_size=1, max_size=4))
    def test_steps(self, mechanism: str, responses: list[bytes | None]) -> None:
        exchange = sasl.exchange(mechanism)
        for response in responses:
            exchange.step(response)

    @examples(100)
    @given(st.text(min_size=1, max_size=60), st.text(min_size=1, max_size=60))
    def test_plain(self, username: str, password: str) -> None:
        if "\0" not in username + password:
            step = sasl.Plain().step(f"\0{username}\0{password}".encode())
            self.assertEqual(step, sasl.Credentials(username, password))
