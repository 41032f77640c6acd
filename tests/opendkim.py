"""A private OpenDKIM as a milter: it verifies with keys from a file, or signs with one."""

from __future__ import annotations

from pathlib import Path

from tests.programs import Program


class OpenDkim(Program):
    """`record` is the key record (TXT) of test._domainkey.`domain`. Listens on `folder`/opendkim.sock."""

    def __init__(self, folder: Path, domain: str, record: str, more: str = "") -> None:
        self.socket = folder / "opendkim.sock"
        (folder / "keys").write_text(f"test._domainkey.{domain} {record}\n")
        configuration = folder / "opendkim.conf"
        configuration.write_text(
            f"Mode v\nSocket local:{self.socket}\nTestPublicKeys {folder}/keys\nBackground no\nSyslog no\n"
            f"AuthservID mail.example.test\nInternalHosts 192.0.2.250\nUMask 000\n{more}"
        )
        super().__init__(["opendkim", "-f", "-x", str(configuration)], self.socket, folder / "opendkim.log")
