"""A private Rspamd with the modules that need neither the network nor Redis."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.programs import Program

_OPTIONS = 'dns { nameserver = ["127.0.0.1:9:1"]; timeout = 0.1s; retransmits = 1; }\nfilters = "chartable,regexp";\n'


class Rspamd(Program):
    def __init__(self, folder: Path, port: int, workers: int = 1) -> None:
        local = folder / "local"
        for name in ("db", "run", "log", "local/local.d", "local/override.d"):
            (folder / name).mkdir(parents=True)
        files = {
            "options.inc": _OPTIONS,
            "worker-normal.inc": f'bind_socket = "127.0.0.1:{port}"; count = {workers};\n',
            "worker-controller.inc": "enabled = false;\n",
            "worker-proxy.inc": "enabled = false;\n",
            "worker-fuzzy.inc": "enabled = false;\n",
            "fuzzy_check.conf": "enabled = false;\n",
            "rbl.conf": "enabled = false;\n",
            "logging.inc": f'type = "file"; filename = "{folder}/log/rspamd.log"; level = "warning";\n',
        }
        for name, text in files.items():
            (local / "local.d" / name).write_text(text)
        subprocess.run(["chown", "-R", "_rspamd:_rspamd", str(folder)], check=True)
        places = {"DBDIR": folder / "db", "RUNDIR": folder / "run", "LOGDIR": folder / "log", "LOCAL_CONFDIR": local}
        arguments = ["rspamd", "-f", "-u", "_rspamd", "-g", "_rspamd", "-c", "/etc/rspamd/rspamd.conf"]
        arguments += [f"--var={name}={place}" for name, place in places.items()]
        super().__init__(arguments, port, folder / "rspamd.out")
