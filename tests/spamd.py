"""A private spamd with local tests only."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.programs import Program


class Spamd(Program):
    def __init__(self, folder: Path, port: int, children: int = 1) -> None:
        home = folder / "home"
        home.mkdir()
        shutil.chown(home, "nobody")
        arguments = ["spamd", "-L", "-x", "-u", "nobody", "-H", str(home), "-i", "127.0.0.1", "-p", str(port)]
        arguments += ["-m", str(children), f"--min-children={children}", "--min-spare=0", "-s", "stderr"]
        super().__init__(arguments, port, folder / "spamd.log")
