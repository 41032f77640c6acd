"""A private Dovecot: the installed program with a configuration, mailboxes and an LMTP port of its own."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

_CONFIGURATION = """\
base_dir = {directory}/run
state_dir = {directory}/state
log_path = {directory}/log
protocols = lmtp
listen = 127.0.0.1
ssl = no
hostname = dovecot.test
mail_location = maildir:{directory}/mail/%u
first_valid_uid = 1
passdb {{
  driver = passwd-file
  args = {directory}/users
}}
userdb {{
  driver = passwd-file
  args = {directory}/users
}}
service lmtp {{
  inet_listener lmtp {{
    address = 127.0.0.1
    port = {port}
  }}
}}
"""


def absent() -> str:
    """Why no Dovecot can be started here; empty when one can."""
    if not shutil.which("dovecot") or not Path("/usr/lib/dovecot/lmtp").exists():
        return "dovecot with its LMTP server is not installed"
    return "" if os.geteuid() == 0 else "dovecot has to be started by root"


class Dovecot:
    """Knows `addresses` only. `directory` has to be one that every user may look into."""

    def __init__(self, directory: Path, port: int, addresses: Sequence[str]) -> None:
        self.directory = directory
        owner = pwd.getpwnam("nobody")
        (directory / "mail").mkdir()
        os.chown(directory / "mail", owner.pw_uid, owner.pw_gid)
        users = [f"{address}:{{PLAIN}}x:{owner.pw_uid}:{owner.pw_gid}::{directory}/mail\n" for address in addresses]
        (directory / "users").write_text("".join(users))
        self._configuration = directory / "dovecot.conf"
        self._configuration.write_text(_CONFIGURATION.format(directory=directory, port=port))

    def start(self) -> None:
        """Returns when it listens. Raises CalledProcessError."""
        self._run()  # what it writes goes nowhere: the daemon would hold a pipe open

    def stop(self) -> None:
        self._run("stop", check=False)

    def _run(self, *arguments: str, check: bool = True) -> None:
        command = ["dovecot", "-c", str(self._configuration), *arguments]
        subprocess.run(command, check=check, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=30)

    def messages(self, address: str) -> list[bytes]:
        """What is in the inbox."""
        return [path.read_bytes() for path in sorted((self.directory / "mail" / address / "new").glob("*"))]
