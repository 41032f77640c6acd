"""An authority of our own, and certificates of it that are good or wrong, for servers on loopback."""

from __future__ import annotations

from twisted.internet.ssl import Certificate

from tests.certificates import DAY, NOW, Identity, issue


class Authority:
    """Signs certificates. `root` is what a client has to trust."""

    def __init__(self, name: str = "Test CA") -> None:
        self._identity = issue(common_name=name, authority=True)
        self.certificate = self._identity.certificate
        self.pem = self._identity.pem
        self.root = Certificate.loadPEM(self.pem)

    def issue(self, *names: str, days: float = 30) -> Identity:
        """Make a certificate for host names; with negative `days` it has expired so long ago."""
        end = NOW + days * DAY
        return issue(names, self._identity, valid=(min(NOW, end) - DAY, end))
