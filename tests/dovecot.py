"""A private Dovecot: the installed program with a configuration, mailboxes, an LMTP port and a socket of its own."""

from __future__ import annotations

import grp
import os
import pwd
import shutil
import subprocess
from collections.abc import Mapping, Sequence
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
mail_plugins = quota
first_valid_uid = 1
recipient_delimiter = +
lmtp_save_to_detail_mailbox = {save_to_detail}
lda_mailbox_autocreate = yes
lmtp_rcpt_check_quota = {check_quota}
plugin {{
  quota = maildir:User quota
  {plugin}
}}
protocol lmtp {{
  mail_plugins = {lmtp_plugins}
}}
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
  unix_listener {directory}/lmtp {{
    mode = 0666
  }}
}}
"""
# Without root it can be nobody else, and cannot change its root.
_UNPRIVILEGED = """\
default_internal_user = {user}
default_internal_group = {group}
default_login_user = {user}
service anvil {{
  chroot =
}}
service stats {{
  chroot =
}}
"""
_SIEVE = """require "fileinto";
if header :is "X-Spam-Flag" "YES" {
  fileinto "Spam";
}
"""


def absent() -> str:
    """Why no Dovecot can be started here; empty when one can."""
    if not shutil.which("dovecot") or not Path("/usr/lib/dovecot/lmtp").exists():
        return "dovecot with its LMTP server is not installed"
    try:
        pwd.getpwuid(os.geteuid())
    except KeyError:
        return "dovecot does not run as a user without a name"
    return ""


def without_sieve() -> str:
    """Why no Dovecot with Sieve can be started here; empty when one can."""
    return absent() or ("" if shutil.which("sievec") else "dovecot-sieve is not installed")


class Dovecot:
    """Knows `addresses` only. `directory` has to be one that every user may look into.

    Mail for `user+FOLDER` goes into the folder; with `sieve`, a script for all puts what says that it is spam into
    `Spam`. `quotas` are storage limits such as "100B"; with `check_quota` who is over them already is refused at
    RCPT.
    """

    def __init__(
        self,
        directory: Path,
        port: int,
        addresses: Sequence[str],
        *,
        sieve: bool = False,
        quotas: Mapping[str, str] = {},
        check_quota: bool = False,
    ) -> None:
        self.directory = directory
        self.socket = directory / "lmtp"
        self._owner = owner = pwd.getpwnam("nobody") if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())
        self._make(directory / "mail")
        users = [
            f"{address}:{{PLAIN}}x:{owner.pw_uid}:{owner.pw_gid}::{directory}/mail::"
            + (f"userdb_quota_rule=*:storage={quotas[address]}" if address in quotas else "")
            + "\n"
            for address in addresses
        ]
        (directory / "users").write_text("".join(users))
        plugin = ""
        if sieve:
            scripts = directory / "sieve"
            self._make(scripts)
            (scripts / "spam.sieve").write_text(_SIEVE)
            plugin = f"sieve_before = {scripts}/spam.sieve"
        self._configuration = directory / "dovecot.conf"
        text = _CONFIGURATION.format(
            directory=directory,
            port=port,
            save_to_detail="no" if sieve else "yes",
            check_quota="yes" if check_quota else "no",
            plugin=plugin,
            lmtp_plugins="quota sieve" if sieve else "quota",
        )
        if os.geteuid() != 0:
            text += _UNPRIVILEGED.format(user=owner.pw_name, group=grp.getgrgid(os.getegid()).gr_name)
        self._configuration.write_text(text)

    def _make(self, folder: Path) -> None:
        folder.mkdir()
        os.chown(folder, self._owner.pw_uid, self._owner.pw_gid)

    def start(self) -> None:
        """Returns when it listens. Raises CalledProcessError."""
        self._run()  # what it writes goes nowhere: the daemon would hold a pipe open

    def stop(self) -> None:
        self._run("stop", check=False)

    def _run(self, *arguments: str, check: bool = True) -> None:
        command = ["dovecot", "-c", str(self._configuration), *arguments]
        subprocess.run(command, check=check, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=30)

    def fill(self, address: str, size: int) -> None:
        """Put a message of that size into the inbox of a user who has had no mail yet."""
        place = self.directory / "mail" / address
        for folder in (place, *(place / part for part in ("cur", "new", "tmp"))):
            self._make(folder)
        message = place / "cur" / f"1.filling,S={size}:2,S"
        message.write_bytes(b"Subject: x\n\n".ljust(size, b"x"))
        os.chown(message, self._owner.pw_uid, self._owner.pw_gid)

    def messages(self, address: str, folder: str = "") -> list[bytes]:
        """What is in the inbox, or in a folder such as `Spam`."""
        place = self.directory / "mail" / address / (f".{folder}" if folder else "")
        return [path.read_bytes() for path in sorted((place / "new").glob("*"))]
