"""Files that are made or replaced as a whole."""

from __future__ import annotations

import os
from pathlib import Path
from unittest import mock

from twisted.trial.unittest import SynchronousTestCase

from mailgw.operation.files import create_file, replace_file


class FileTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = Path(os.path.abspath(self.mktemp()))
        self.folder.mkdir()
        self.path = self.folder / "file"

    def test_create(self) -> None:
        create_file(str(self.path), b"one", 0o600)
        self.assertEqual(self.path.read_bytes(), b"one")
        self.assertEqual(self.path.stat().st_mode & 0o777, 0o600)

    def test_create_never_replaces(self) -> None:
        self.path.write_bytes(b"one")
        self.assertRaises(FileExistsError, create_file, str(self.path), b"two", 0o600)
        self.assertEqual(self.path.read_bytes(), b"one")
        self.assertEqual(os.listdir(self.folder), ["file"])

    def test_replace(self) -> None:
        self.path.write_bytes(b"one")
        replace_file(str(self.path), b"two", 0o640)
        self.assertEqual(self.path.read_bytes(), b"two")
        self.assertEqual(self.path.stat().st_mode & 0o777, 0o640)

    def test_a_link_stays(self) -> None:
        self.path.write_bytes(b"one")
        link = self.folder / "link"
        link.symlink_to(self.path)
        replace_file(str(link), b"two", 0o600)
        self.assertTrue(link.is_symlink())
        self.assertEqual(self.path.read_bytes(), b"two")

    def test_a_full_disk_leaves_the_old_file_and_nothing_else(self) -> None:
        self.path.write_bytes(b"one")
        for write in (replace_file, create_file):
            with mock.patch("os.fsync", side_effect=OSError(28, "No space left on device")):
                self.assertRaises(OSError, write, str(self.path), b"two", 0o600)
            self.assertEqual(self.path.read_bytes(), b"one")
            self.assertEqual(os.listdir(self.folder), ["file"])
