"""What a host says about how much we send is about all mail to it; what it says about a mailbox is not."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from mailgw.delivery.classify import outcome_of
from mailgw.mail.reply import Reply
from mailgw.queue.item import Delayed


class SlowDownTests(SynchronousTestCase):
    def is_site_wide(self, code: int, status: str, text: str, command: str = "MAIL") -> bool:
        outcome = outcome_of(Reply.of(code, status, text), command, "mx.example.org")
        assert isinstance(outcome, Delayed)
        return outcome.site_wide

    def test_about_us(self) -> None:
        for code, status, text in (
            (450, "4.7.28", "Our system has detected an unusual amount of mail"),
            (451, "4.7.0", "Messages from 192.0.2.1 temporarily deferred due to unexpected volume or user complaints"),
            (451, "4.7.1", "Rate limit exceeded, try again later"),
            (450, "4.7.1", "You are sending too many messages"),
            (451, "", "throttled"),
            (450, "", "slow down please"),
        ):
            self.assertTrue(self.is_site_wide(code, status, text), text)

    def test_about_a_mailbox_a_message_or_a_transaction(self) -> None:
        for code, status, text in (
            (450, "4.2.1", "The user is receiving mail at a rate that prevents more; too quickly"),
            (450, "4.7.1", "Greylisted, please try again in 300 seconds"),
            (452, "4.5.3", "Too many messages in this session"),
            (451, "4.3.0", "Local error in processing; separate reports follow"),
            (450, "4.1.1", "Recipient address rejected: unverified"),
        ):
            self.assertFalse(self.is_site_wide(code, status, text, "RCPT"), text)
