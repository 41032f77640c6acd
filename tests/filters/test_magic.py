"""What a file is, by how it begins."""

from __future__ import annotations

import gzip
import io
import lzma
import tarfile
import zipfile

from twisted.trial.unittest import SynchronousTestCase

from mailgw.filters.magic import HEAD, find_kind


class KindTests(SynchronousTestCase):
    def test_archives_that_the_standard_library_makes(self) -> None:
        zipped = io.BytesIO()
        with zipfile.ZipFile(zipped, "w") as file:
            file.writestr("a.txt", "x")
        tarred = io.BytesIO()
        with tarfile.open(fileobj=tarred, mode="w") as tar:
            tar.addfile(tarfile.TarInfo("a.txt"))
        for data, kind in (
            (zipped.getvalue(), "zip"),
            (tarred.getvalue(), "tar"),
            (gzip.compress(b"x"), "gz"),
            (lzma.compress(b"x"), "xz"),
        ):
            self.assertEqual(find_kind(data[:HEAD]), kind)

    def test_kinds(self) -> None:
        for head, kind in (
            (b"MZ\x90\0\x03", "exe"),
            (b"MZ is how this text begins", ""),
            (b"BM me when you are there", ""),
            (b"BM\x36\0\0\0", "bmp"),
            (b"\x7fELF\x02", "elf"),
            (b"#!/bin/sh\n", "script"),
            (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "ole"),
            (b"%PDF-1.7", "pdf"),
            (b"junk %PDF-1.7", "pdf"),
            (b"{\\rtf1", "rtf"),
            (b"RIFF\0\0\0\0WEBPVP8", "webp"),
            (b"\0\0\0\x18ftypmp42", "mp4"),
            (b"<!DOCTYPE html><p>", "html"),
            (b"\n<html>", "html"),
            (b"\xef\xbb\xbf<!-- x --><HTML >", "html"),
            (b'<?xml version="1.0"?><svg xmlns=""', "html"),
            (b"<htmlx>", ""),
            (b"Hello", ""),
            (b"", ""),
        ):
            self.assertEqual(find_kind(head), kind, head)
