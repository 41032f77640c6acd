"""A private OpenDKIM: as a milter it verifies with keys from a file, or signs with one; or it verifies files."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.programs import Program

_RESULT = re.compile(r"dkim=(\w+)[^;]* header\.a=([\w-]+)")


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


def verify(records: Mapping[str, str], messages: Sequence[Path]) -> list[dict[str, str]]:
    """Give what it says of each message: algorithm -> result. `records` are the TXT records of the keys by name; it
    writes them beside the first message."""
    folder = messages[0].parent
    (folder / "records").write_text("".join(f"{name} {record}\n" for name, record in records.items()))
    configuration = folder / "verify.conf"
    configuration.write_text(f"Mode v\nTestPublicKeys {folder}/records\nBackground no\nSyslog no\n")
    results = []
    for path in messages:
        arguments = ["opendkim", "-f", "-x", str(configuration), "-vvv", "-t", str(path)]
        output = subprocess.run(arguments, capture_output=True, text=True, errors="replace", timeout=60).stdout
        results.append({algorithm: result for result, algorithm in _RESULT.findall(output)})
    return results
