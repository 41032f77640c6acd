"""A private Exim: the unpacked program with a configuration, a spool and a port of its own, for loopback.

Debian's packages of Exim and Postfix exclude each other, so .ci/run unpacks Exim into a folder ($MAILGW_EXIM).
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from pathlib import Path

FOLDER = Path(os.environ.get("MAILGW_EXIM") or "/opt/mailgw-peers/exim")
PROGRAM = FOLDER / "usr/sbin/exim4"
USER = "Debian-exim"

# All mail goes to the gateway, but that for exim.test, which ends in a file.
_CONFIGURATION = """\
primary_hostname = exim.test
exim_path = {program}
spool_directory = {directory}/spool
log_file_path = {directory}/log/%slog
pid_file_path = {directory}/exim.pid
local_interfaces = 127.0.0.1
daemon_smtp_ports = {port}
acl_smtp_rcpt = take
acl_smtp_mail = take
tls_advertise_hosts = *
tls_certificate = {directory}/certificate.pem
tls_privatekey = {directory}/key.pem
chunking_advertise_hosts = *
smtputf8_advertise_hosts = *
dsn_advertise_hosts = *
log_selector = +all
deliver_drop_privilege = true
keep_environment =
{settings}

begin acl
take:
  accept

begin routers
here:
  driver = accept
  domains = exim.test
  transport = file
gateway:
  driver = manualroute
  route_list = * 127.0.0.1
  self = send
  transport = smtp

begin transports
file:
  driver = appendfile
  file = {directory}/mail/inbox
  delivery_date_add
  envelope_to_add
  return_path_add
smtp:
  driver = smtp
  port = {gateway_port}
  {transport}
"""


def absent() -> str:
    """Why no Exim can be started here; empty when one can."""
    if not PROGRAM.exists():
        return f"exim is not unpacked in {FOLDER}"
    try:
        pwd.getpwnam(USER)
    except KeyError:
        return f"exim's user {USER} does not exist"
    return "" if os.geteuid() == 0 else "exim has to be started by root"


def write_configuration(
    directory: Path,
    port: int,
    gateway_port: int,
    certificate: bytes,
    key: bytes,
    settings: str = "",
    transport: str = "",
) -> Path:
    """Write the configuration below `directory`, with a spool there; give its path.

    `settings` are lines of the main section, `transport` those of the transport to the gateway.
    """
    for name in ("spool", "log", "mail"):
        (directory / name).mkdir()
        shutil.chown(directory / name, USER, USER)
    for name, content in (("certificate.pem", certificate), ("key.pem", key)):
        (directory / name).write_bytes(content)
        shutil.chown(directory / name, USER, USER)
    path = directory / "exim.conf"
    path.write_text(
        _CONFIGURATION.format(
            program=PROGRAM,
            directory=directory,
            port=port,
            gateway_port=gateway_port,
            settings=settings,
            transport=transport,
        )
    )
    return path


def start(configuration: Path) -> subprocess.Popen[bytes]:
    """Start the daemon; it takes connections a moment later."""
    return subprocess.Popen([PROGRAM, "-C", configuration, "-bdf", "-q5s"], stdin=subprocess.DEVNULL)


def stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    process.wait(20)
