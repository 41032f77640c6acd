"""The `mailgw` command."""

from __future__ import annotations

import click

from mailgw.commands.check import check
from mailgw.commands.config import config
from mailgw.commands.configuration import config_option
from mailgw.commands.dkim import dkim
from mailgw.commands.doctor import doctor
from mailgw.commands.explain import explain
from mailgw.commands.learn import learn
from mailgw.commands.promote import promote
from mailgw.commands.quarantine import quarantine
from mailgw.commands.queue import queue
from mailgw.commands.replay import replay
from mailgw.commands.reports import reports
from mailgw.commands.route import route
from mailgw.commands.send import send
from mailgw.commands.tls import tls
from mailgw.commands.trace import trace
from mailgw.commands.user import user
from mailgw.operation.release import release


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(release(), prog_name="mailgw")
@config_option
def main() -> None:
    """Look after a mail gateway: its users, its queue, its configuration.

    The gateway itself is run by `twistd --nodaemon mailgw --config /etc/mailgw/mailgw.toml`.
    """


for command in (
    check,
    config,
    dkim,
    doctor,
    explain,
    learn,
    promote,
    quarantine,
    queue,
    replay,
    reports,
    route,
    send,
    tls,
    trace,
    user,
):
    main.add_command(command)

if __name__ == "__main__":
    main()
