"""Reply and ids."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from mailgw.mail.identifiers import new_id
from mailgw.mail.reply import Reply


class ReplyTests(SynchronousTestCase):
    def test_one_line(self) -> None:
        self.assertEqual(Reply(250, "2.0.0", ("OK",)).encode(), b"250 2.0.0 OK\r\n")

    def test_each_line_has_code_and_status(self) -> None:
        reply = Reply.of(550, "5.1.1", "one\ntwo")
        self.assertEqual(reply.encode(), b"550-5.1.1 one\r\n550 5.1.1 two\r\n")

    def test_a_text_cannot_make_a_second_reply(self) -> None:
        self.assertEqual(Reply(550, "5.1.1", ("a\r\n250 OK",)).encode(), b"550 5.1.1 a??250 OK\r\n")

    def test_kinds(self) -> None:
        self.assertTrue(Reply(550).permanent)
        self.assertTrue(Reply(451).temporary)
        self.assertFalse(Reply(250).temporary or Reply(250).permanent)


class IdTests(SynchronousTestCase):
    def test_ids_sort_as_time_does(self) -> None:
        ids = [new_id(second, b"\xff" * 5) for second in (1, 1.001, 2, 10**6, 2 * 10**9)]
        self.assertEqual(ids, sorted(ids))

    def test_ids_are_safe_in_paths_and_logs(self) -> None:
        made = new_id(1.7e9, b"\0\1\2\3\4")
        self.assertEqual(len(made), 16)
        self.assertTrue(made.isalnum() and made.isascii())

    def test_randomness_counts(self) -> None:
        self.assertNotEqual(new_id(1.0, b"\0\0\0\0\1"), new_id(1.0, b"\0\0\0\0\2"))
