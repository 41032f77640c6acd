"""`mailgw check` as root finds what the gateway's user cannot read or write."""

from __future__ import annotations

import os
import pwd
import tempfile
from pathlib import Path

from tests.commands.files import CommandTest
from tests.config.files import BASE

USER = "nobody"


class PermissionTests(CommandTest):
    if os.geteuid() != 0:
        skip = "only root changes to another user"

    def setUp(self) -> None:
        super().setUp()
        # Below the folder of the tests another user may not look at all.
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.place = Path(folder.name)
        self.place.chmod(0o755)
        self.owner = pwd.getpwnam(USER)
        for name in ("state", "mail"):
            (self.place / name).mkdir(0o700)
            os.chown(self.place / name, self.owner.pw_uid, self.owner.pw_gid)
        for name in ("users", "aliases"):
            (self.place / name).touch()
        (self.place / "users").write_text("alice@example.org:!\n")
        self.configuration.write_text(
            f'user = "{USER}"\nstate_directory = "{self.place}/state"\nrules_file = ""\n{BASE}\n'
            f'[routing]\nusers_file = "{self.place}/users"\naliases_file = "{self.place}/aliases"\n'
            f'[maildir]\nroot = "{self.place}/mail"\n'
        )

    def test_all_is_well(self) -> None:
        self.run_command("check")
        # What is not there yet is made where it may be made.
        (self.place / "mail").rmdir()
        os.chown(self.place, self.owner.pw_uid, -1)
        self.run_command("check")

    def test_what_the_user_cannot_read_or_write(self) -> None:
        (self.place / "users").chmod(0o600)
        os.chown(self.place / "state", 0, 0)
        (self.place / "mail").rmdir()
        lines = self.run_command("check", code=1).stderr.splitlines()
        self.assertEqual(len(lines), 3, lines)
        self.assertIn(f"routing.users_file: the user {USER} cannot read {self.place}/users", lines[0])
        self.assertIn(f"state_directory: the user {USER} cannot write in {self.place}/state", lines[1])
        self.assertIn(f"cannot write in {self.place}; make it the owner of {self.place}/mail", lines[2])
