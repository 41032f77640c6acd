"""A private Postfix: the installed program with a configuration, a queue and a port of its own, for loopback."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

_BASE = {
    "compatibility_level": "3.6",
    "myhostname": "postfix.test",
    "mydestination": "",
    "inet_interfaces": "127.0.0.1",
    "inet_protocols": "ipv4",
    "mynetworks": "127.0.0.0/8",
    "smtp_dns_support_level": "disabled",
    "alias_maps": "",
    "alias_database": "",
}
# service type private unprivileged chroot wakeup maxproc command
_MASTER = """\
{address}:{port} inet n - n - - smtpd
postlog unix-dgram n - n - 1 postlogd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
proxywrite unix - - n - 1 proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
"""


def absent() -> str:
    """Why no Postfix can be started here; empty when one can."""
    if not shutil.which("postfix"):
        return "postfix is not installed"
    return "" if os.geteuid() == 0 else "postfix has to be started by root"


def write_configuration(directory: Path, port: int, settings: Mapping[str, str], address: str = "127.0.0.1") -> Path:
    """Write main.cf and master.cf below `directory`, with a queue there; give the configuration's folder.

    `settings` go over a base that relays for loopback and knows no destination.
    """
    etc, spool, data = (directory / name for name in ("etc", "spool", "data"))
    for folder in (etc, spool, data):
        folder.mkdir()
    shutil.chown(data, "postfix", "postfix")
    places = {
        "queue_directory": str(spool),
        "data_directory": str(data),
        "maillog_file": f"{directory}/mail.log",
        "maillog_file_prefixes": str(directory),
        **{name: _default(name) for name in ("daemon_directory", "shlib_directory", "command_directory")},
    }
    lines = [f"{name} = {value}" for name, value in {**_BASE, **places, **settings}.items()]
    (etc / "main.cf").write_text("\n".join(lines) + "\n")
    (etc / "master.cf").write_text(_MASTER.format(address=address, port=port))
    return etc


def run(etc: Path, command: str) -> None:
    """`start`, `stop`, `flush`: raises CalledProcessError when Postfix does not want to."""
    subprocess.run(["postfix", "-c", str(etc), command], capture_output=True, timeout=60, check=True)


def _default(name: str) -> str:
    return subprocess.run(["postconf", "-d", "-h", name], capture_output=True, text=True, check=True).stdout.strip()
