"""The AUTH exchange (RFC 4954): challenges and answers until there are credentials, then their check."""

from __future__ import annotations

from mailgw.mail.reply import Reply, TemporaryFailure
from mailgw.reception.credentials import Authenticator
from mailgw.reception.link import Link
from mailgw.smtp import events, sasl

_BAD_CREDENTIALS = Reply(535, "5.7.8", ("Authentication credentials invalid",))
_TEMPORARY = Reply(454, "4.7.0", ("Temporary authentication failure, please try again later",))
