"""What to do with the gateway that runs: addresses, a user, folders, commands."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path

from mailgw.develop.messages import ALICE, BOB, OUR_DOMAIN, OUTSIDER, SENDER
from mailgw.develop.setup import Layout, Ports


def guide(layout: Layout, ports: Ports, password: str) -> str:
    """Give the text that `make run` prints once the gateway greets."""
    mx, implicit = f"127.0.0.1:{ports.mx}", f"127.0.0.1:{ports.implicit}"
    addresses = _columns(
        {
            mx: f"mx: mail for {OUR_DOMAIN} from anyone; STARTTLS is offered",
            implicit: "submission of our users, TLS from the first byte",
            f"127.0.0.1:{ports.submission}": "submission of our users, STARTTLS first",
        }
    )
    inbox = _path(layout.mail / OUR_DOMAIN / "alice")
    configuration = _path(layout.configuration)
    good, gtube, outside = (_path(layout.messages / f"{name}.eml") for name in ("good", "gtube", "outside"))
    log_in = f"--user {ALICE} --password-file {_path(layout.password)}"
    command = _command()
    folders = _columns(
        {
            inbox: "INBOX of alice",
            f"{inbox}/.Spam": "her spam folder",
            _path(layout.sink): "the sink: mail to the outside ends here, never on the Internet",
            _path(layout.etc): "the configuration",
        }
    )
    return f"""
The gateway runs. Its addresses:

{addresses}

User {ALICE} (or {BOB}), password {password} (it stands in {_path(layout.password)})

Folders:

{folders}

Try, in a second terminal:

  {command} send --server {mx} --insecure --from {SENDER} --to {ALICE} {good}
  {command} send --server {mx} --insecure --from {SENDER} --to {ALICE} {gtube}
  {command} send --server {implicit} --tls implicit --insecure {log_in} --from {ALICE} --to {OUTSIDER} {outside}

Then look:

  grep -r Authentication-Results -A 3 {inbox}/new
  ls {inbox}/new {inbox}/.Spam/new {_path(layout.sink)}
  {command} queue list --config {configuration}
  {command} explain --config {configuration} --client-ip 127.0.0.1 --mail-from {SENDER} {gtube}

Ctrl-C ends it; the queue, the mail and the password stay.
"""


def _columns(rows: Mapping[str, str]) -> str:
    width = max(map(len, rows))
    return "\n".join(f"  {first:<{width}}  {second}" for first, second in rows.items())


def _command() -> str:
    """The `mailgw` command beside this Python, or the module where it is not installed."""
    command = Path(sys.executable).with_name("mailgw")
    if command.exists():
        return _path(command)
    return f"{_path(Path(sys.executable))} -m mailgw.commands.main"


def _path(path: Path) -> str:
    """As it is typed: relative where that is shorter."""
    text = os.path.abspath(path)  # not resolved: a virtual environment's python is a symbolic link
    relative = os.path.relpath(text)
    return shlex.quote(text if relative.startswith("..") else relative)
