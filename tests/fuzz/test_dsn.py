"""DSN parameters from hostile clients: what was read is one printable line, and goes on as it came (RFC 3461 4)."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from mailgw.smtp import dsn
from mailgw.smtp.client import command
from tests.fuzz.test_server import examples

_TYPES = st.sampled_from(["rfc822", "RFC822", "utf-8", "UTF-8", "x400", "x-unknown"])
_PIECES = st.sampled_from(
    ["+0D", "+0A", "+C3", "+B6", "+2B", "+", "\\x{0A}", "\\x{F6}", "\\x{D800}", "\\x{2028}", "\\", "a@b"]
)
_ADDRESSES = st.lists(st.one_of(_PIECES, st.text(max_size=5)), max_size=8).map("".join)


class OrcptTests(SynchronousTestCase):
    @examples(200)
    @given(_TYPES, _ADDRESSES, st.booleans(), st.booleans())
    def test_what_is_read_can_be_sent(self, kind: str, address: str, said: bool, says: bool) -> None:
        try:
            orcpt = dsn.orcpt(f"{kind};{address}", said)
        except ValueError:
            return
        self.assertTrue(orcpt.isprintable(), orcpt)
        self.assertTrue(orcpt.isascii() or orcpt.lower().startswith("utf-8;"), orcpt)
        sent = dsn.orcpt_encode(orcpt, says)
        self.assertNotIn(" ", sent)
        self.assertEqual(command(sent), sent.encode() + b"\r\n")
        self.assertTrue(says or sent.isascii())

    @examples(200)
    @given(_ADDRESSES)
    def test_envelope_ids(self, text: str) -> None:
        try:
            envid = dsn.envid(text)
        except ValueError:
            return
        self.assertTrue(envid.isascii() and envid.isprintable())
        self.assertEqual(dsn.envid(dsn.xtext_encode(envid)) if len(envid) < 33 else envid, envid)
