"""What must hold for any bytes that a client sends to the server core."""

from __future__ import annotations

import base64

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from mailgw.mail.reply import Refuse
from mailgw.smtp import dsn, events, sasl, syntax
from mailgw.smtp.server import Extensions
from tests.smtp.responder import LIMITS, Responder

OFFERED = Extensions(size=LIMITS.message_size, auth=("PLAIN", "LOGIN"), dsn=True)

_LINES = [
    *(b"EHLO c", b"HELO c", b"MAIL FROM:<a@b>", b"MAIL FROM:<>", b"RCPT TO:<c@d>", b"RCPT TO:<unknown@d>", b"DATA"),
    *(b"RSET", b"NOOP", b"QUIT", b"VRFY x", b"HELP", b"STARTTLS", b"BDAT 3", b"GET /"),
    *(b"AUTH PLAIN", b"AUTH LOGIN", b"AUTH PLAIN AHVzZXIAc2VjcmV0", b"*", b"YQ=="),
    *(b".", b"..", b"", b"a", b".a", b"\xff", b"\0", b"x" * 250, b"y" * 600),
]
line = st.sampled_from(_LINES) | st.binary(max_size=30)
line_end = st.sampled_from([b"\r\n"] * 12 + [b"\n", b"\r", b"", b"\n.\r\n", b"\r\n.\r\n"])
prefix = st.sampled_from([b"", b"EHLO c\r\n", b"EHLO c\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n"])
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


def play(pieces: list[bytes]) -> Responder:
    responder = Responder(OFFERED, tls=True)
    responder.receive(pieces)
    return responder


class StreamTests(SynchronousTestCase):
    @settings(max_examples=400, deadline=None)
    @given(cut())
    def test_any_cut_gives_the_same(self, case: tuple[bytes, list[bytes]]) -> None:
        data, pieces = case
        whole, cut_up = play([data]), play(pieces)
        self.assertEqual(whole.merged, cut_up.merged)
        self.assertEqual(whole.output, cut_up.output)

    @settings(max_examples=400, deadline=None)
    @given(st.lists(stream | st.binary(max_size=2000), max_size=6), st.booleans())
    def test_never_raises_and_holds_little(self, pieces: list[bytes], tls: bool) -> None:
        responder = Responder(Extensions(size=2000, starttls=True, auth=("PLAIN", "LOGIN")), tls=tls)
        responder.receive(pieces)
        self.assertLessEqual(responder.held, LIMITS.auth_line)
        if responder.closed:
            self.assertEqual(responder.connection.buffered, 0)

    @settings(max_examples=300, deadline=None)
    @given(cut())
    def test_a_body_never_becomes_a_command(self, case: tuple[bytes, list[bytes]]) -> None:
        """Between 354 and the end there is content only; and a body that a client has stuffed arrives as it was."""
        body = b"\r\n".join(case[0].replace(b"\r", b"").replace(b"\0", b"").split(b"\n")) + b"\r\n"
        stuffed = (b"\r\n" + body).replace(b"\r\n.", b"\r\n..")[2:]
        sent = b"EHLO c\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n" + stuffed + b".\r\nNOOP\r\n"
        for pieces in ([sent], [sent[n : n + 7] for n in range(0, len(sent), 7)]):
            responder = play(pieces)
            kinds = [type(event) for event in responder.merged if not isinstance(event, events.Content)]
            expected = [events.Hello, events.Mail, events.Rcpt, events.Data, events.ContentEnd, events.Noop]
            self.assertEqual(kinds, expected)
            end = responder.merged[-2]
            assert isinstance(end, events.ContentEnd)
            self.assertEqual(end.size, len(body))
            if end.problem is None:
                self.assertEqual(responder.content, body)

    @settings(max_examples=300, deadline=None)
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


class SyntaxTests(SynchronousTestCase):
    @settings(max_examples=500, deadline=None)
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

    @given(st.text(alphabet=st.characters(max_codepoint=127)))
    def test_xtext(self, text: str) -> None:
        self.assertEqual(dsn.xtext_decode(dsn.xtext_encode(text)), text)

    @given(st.binary(max_size=40))
    def test_base64(self, data: bytes) -> None:
        self.assertEqual(syntax.auth_response(base64.b64encode(data)), events.AuthResponse(data))
        self.assertIsInstance(syntax.auth_response(data), events.AuthResponse | events.Invalid)


class SaslTests(SynchronousTestCase):
    @given(st.sampled_from(sasl.MECHANISMS), st.lists(st.none() | st.binary(max_size=20), min_size=1, max_size=4))
    def test_steps(self, mechanism: str, responses: list[bytes | None]) -> None:
        exchange = sasl.exchange(mechanism)
        for response in responses:
            exchange.step(response)

    @given(st.text(min_size=1, max_size=60), st.text(min_size=1, max_size=60))
    def test_plain(self, username: str, password: str) -> None:
        if "\0" not in username + password:
            step = sasl.Plain().step(sasl.plain_response(username, password))
            self.assertEqual(step, sasl.Credentials(username, password))
