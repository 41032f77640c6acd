"""A private clamd, with a database of one signature: EICAR's. And a clamav-milter that asks it."""

from __future__ import annotations

import hashlib
from pathlib import Path

from tests.programs import Program

# The test file of eicar.org, in two pieces: a scanner that looks at this file finds nothing.
EICAR = b"X5O!P%@AP[4\\PZX54(P^)7CC)7}$" + b"EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"
SIGNATURE = "Eicar-Test.UNOFFICIAL"
"""clamd says of a signature that ClamAV has not signed that it is unofficial."""


class Clamd(Program):
    """Listens on `folder`/clamd.ctl and on `port`."""

    def __init__(self, folder: Path, port: int) -> None:
        database = folder / "database"
        database.mkdir()
        digest = hashlib.md5(EICAR, usedforsecurity=False).hexdigest()
        (database / "test.hdb").write_text(f"{digest}:{len(EICAR)}:{SIGNATURE.partition('.')[0]}\n")
        self.socket = folder / "clamd.ctl"
        configuration = folder / "clamd.conf"
        configuration.write_text(
            f"Foreground yes\nDatabaseDirectory {database}\nLocalSocket {self.socket}\nTCPSocket {port}\n"
            f"TCPAddr 127.0.0.1\nTemporaryDirectory {folder}\nStreamMaxLength 2M\nMaxThreads 4\n"
        )
        super().__init__(["clamd", "-c", str(configuration)], self.socket, folder / "clamd.log")


class ClamavMilter(Program):
    """Asks a Clamd; refuses what it finds. Listens on `folder`/milter.sock."""

    def __init__(self, folder: Path, clamd: Clamd, on_infected: str = "Reject") -> None:
        self.socket = folder / "milter.sock"
        configuration = folder / "clamav-milter.conf"
        configuration.write_text(
            f"Foreground yes\nMilterSocket unix:{self.socket}\nClamdSocket unix:{clamd.socket}\nMaxFileSize 2M\n"
            f"OnInfected {on_infected}\nOnFail Defer\nAddHeader No\nTemporaryDirectory {folder}\n"
            + ("RejectMsg %v was found\n" if on_infected == "Reject" else "")
        )
        super().__init__(["clamav-milter", "-c", str(configuration)], self.socket, folder / "clamav-milter.log")
