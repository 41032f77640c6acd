"""The router as reception sees it: return paths that we wrote for forwarded mail lead back to its senders."""

from __future__ import annotations

from attrs import evolve

from mailgw.mail.address import Mailbox
from mailgw.routing.interface import REPORT, Origin, Routed, Router, Unknown
from mailgw.routing.srs import Srs, SrsError


class ReturningRouter:
    """A routing.interface.Router."""

    def __init__(self, router: Router, srs: Srs) -> None:
        self._router = router
        self._srs = srs

    def is_ours(self, domain: str) -> bool:
        return self._router.is_ours(domain)

    def resolve(self, mailbox: Mailbox, origin: Origin = REPORT) -> Routed | Unknown:
        if not self._srs.is_ours(mailbox):
            return self._router.resolve(mailbox, origin)
        try:
            sender = self._srs.reverse(mailbox)
        except SrsError as error:
            return Unknown(f"a return path that leads nowhere: {error}")
        # Whom the signature proves to have written to us may get reports through us, though he is not ours: reports
        # alone (RFC 5321 4.5.5), since whoever has seen a return path could use it.
        routed = self._router.resolve(sender, origin)
        return evolve(routed, ours=True, reports_only=True) if isinstance(routed, Routed) else routed
