"""Archives, listed: made by other programs or by the standard library, and broken ones."""

from __future__ import annotations

import base64
import io
import struct
import tarfile
import time
import tracemalloc
import zipfile

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from mailgw.filters.archives import MAX_DEPTH, MAX_NESTED, list_archive, list_nested
from mailgw.filters.listing import MAX_MEMBERS, Listing
from mailgw.filters.magic import HEAD, find_kind
from tests.filters.files import make_bomb, make_nested, make_tar, make_zip

# Of setup.exe and readme.txt, by 7-Zip 26.02: with a packed directory, with a password, and with the names encrypted.
SEVEN = {
    "plain": (
        "N3q8ryccAATeMGnOeAAAAAAAAAAgAAAAAAAAANwE8YABAApoZWxsbwpNWnh4CgAAAIEzB64Pzt0HYQkqrtOqhSYoGKffAS9QBOVn"
        "KlDwgQxSO4xfe6d17Z/El6zy4hq221V7jO7Lr/FRhe4BkOjh5f1f4HkUgcgawPnYUMIi9SWw4+iGpjWKAlcdFX5Fp1qcUaNbtywA"
        "AAAXBg8BCWkABwsBAAEjAwEBBV0AEAAADH4KAbfWqHAAAA=="
    ),
    "password": (
        "N3q8ryccAAS96T+6lQAAAAAAAAAiAAAAAAAAADLxCe3HrUeupEzJ5b8FoZtsF5gfAACBMweuD87ysgwHsMPa919FiphISvh2LZB3"
        "Ukmgd4pCYe01HTRU236Lxr/NlF/F2yF42jpfWuDg+AxuG2z4lXEs90pGo1H/zLUTlhsfB7IOSaVxgoWl9/Mhw66TRtwotNXudUhj"
        "8bSfNYx501FDKGRKGU/u7dTnuWVerCsvRsFcagAAABcGEAEJgIUABwsBAAEjAwEBBV0AEAAADICeCgE8VZKrAAA="
    ),
    "hidden": (
        "N3q8ryccAAQLQkaKgAAAAAAAAAAuAAAAAAAAAB9cds+0LeqXondM90vAe+SP8YDEcOvwcBs4Fij/0YAjIPsgo/kXShlcw76s93vq"
        "aUWgtEQQCiUdVeVhbCECQVdNWMPK7QkALcuMuL/Qfa3ALmj77f5YXG0JZR+WaFbrF7SqZiqN6wQF5rfaaI+87Nq763aLT6k7eCfs"
        "voOeBmwpGhoBfRcGEAEJcAAHCwEAASQG8QcBElMPCSTY7VQnwlXZOVVqYVq8YwxqCgHFjSMmAAA="
    ),
}


def rar5(*names: str, encrypted: bool = False) -> bytes:
    """A RAR 5 archive as its technical note has it, with files of three octets."""

    def block(kind: int, flags: int, body: bytes, data: bytes = b"") -> bytes:
        fields = bytes((kind, flags)) + (bytes((len(data),)) if flags & 2 else b"") + body
        return bytes(4) + bytes((len(fields),)) + fields + data

    out = b"Rar!\x1a\x07\x01\0" + block(1, 0, b"\0")
    if encrypted:
        return out + block(4, 0, bytes(20))
    for name in names:
        raw = name.encode()
        out += block(2, 2, bytes((0, 3, 0, 0, 0, len(raw))) + raw, b"abc")
    return out + block(5, 0, b"\0")


def rar4(*names: str, flags: int = 0) -> bytes:
    out = b"Rar!\x1a\x07\0" + struct.pack("<HBHH", 0, 0x73, 0, 13) + bytes(6)
    for name in names:
        raw = name.encode()
        rest = struct.pack("<IIBIIBBHI", 3, 3, 2, 0, 0, 29, 0x30, len(raw), 0) + raw
        out += struct.pack("<HBHH", 0, 0x74, 0x8000 | flags, 7 + len(rest)) + rest + b"abc"
    return out + struct.pack("<HBHH", 0, 0x7B, 0, 7)


class ListTests(SynchronousTestCase):
    def list(self, data: bytes, name: str = "") -> Listing:
        listing = list_archive(find_kind(data[:HEAD]), data, name)
        assert listing is not None
        return listing

    def names(self, data: bytes) -> list[str]:
        listing = self.list(data)
        self.assertEqual((listing.unlisted, listing.bomb), ("", ""))
        return [member.name for member in listing.members]

    def test_zip(self) -> None:
        self.assertEqual(self.names(make_zip("a.txt", "d/ü.exe")), ["a.txt", "d/ü.exe"])
        self.assertEqual(self.names(b"PK\x03\x04" + b"some program in front" + make_zip("a.txt")), ["a.txt"])
        member = self.list(make_zip("a.txt", encrypted=True)).members[0]
        self.assertEqual((member.encrypted, member.size), (True, 7))

    def test_tar(self) -> None:
        long = "d" * 120 + "/" + "n" * 120 + ".exe"
        self.assertEqual(self.names(make_tar("a.txt", "d/b.exe")), ["a.txt", "d/b.exe"])
        file = io.BytesIO()
        with tarfile.open(fileobj=file, mode="w", format=tarfile.GNU_FORMAT) as archive:
            archive.addfile(tarfile.TarInfo(long))
        self.assertEqual(self.names(file.getvalue()), [long])

    def test_7z(self) -> None:
        for kind, names, encrypted in (
            ("plain", ["readme.txt", "setup.exe"], False),
            ("password", ["readme.txt", "setup.exe"], True),
            ("hidden", [], True),
        ):
            listing = self.list(base64.b64decode(SEVEN[kind]))
            self.assertEqual(sorted(m.name for m in listing.members), names, kind)
            self.assertEqual(listing.encrypted or any(m.encrypted for m in listing.members), encrypted, kind)

    def test_rar(self) -> None:
        self.assertEqual(self.names(rar5("a.txt", "setup.exe")), ["a.txt", "setup.exe"])
        self.assertEqual(self.names(rar4("a.txt", "setup.exe")), ["a.txt", "setup.exe"])
        self.assertTrue(self.list(rar5(encrypted=True)).encrypted)
        self.assertTrue(self.list(rar4("a.txt", flags=4)).members[0].encrypted)

    def test_bombs(self) -> None:
        self.assertIn("1000000000", self.list(make_bomb()).bomb)
        # Members that share their content (David Fifield, 2019): all entries point to one place.
        data = bytearray(make_zip("a", "b", "c"))
        position = data.find(b"PK\x01\x02")
        while position >= 0:
            data[position + 42 : position + 46] = bytes(4)
            position = data.find(b"PK\x01\x02", position + 4)
        self.assertEqual(self.list(bytes(data)).bomb, "members share their content")

    def test_half_a_million_members_cost_little(self) -> None:
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("x", b"")
        whole = file.getvalue()
        start = whole.find(b"PK\x01\x02")
        end = whole.find(b"PK\x05\x06")
        entries = whole[start:end] * 500_000
        tail = bytearray(whole[end:])
        tail[12:16] = len(entries).to_bytes(4, "little")
        data = whole[:start] + entries + bytes(tail)
        tracemalloc.start()
        before = time.process_time()
        listing = self.list(data)
        took = time.process_time() - before
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        self.assertEqual((len(listing.members), listing.unlisted), (MAX_MEMBERS, f"more than {MAX_MEMBERS} members"))
        self.assertLess(took, 0.5)
        self.assertLess(peak, 4 * 1024 * 1024)

    def test_what_is_cut_off_anywhere_is_said_not_raised(self) -> None:
        for whole in (
            make_zip("a.txt", "b.exe"),
            make_tar("a.txt", "b.exe"),
            rar5("a.txt", "b.exe"),
            rar4("a.txt", "b.exe"),
            *map(base64.b64decode, SEVEN.values()),
        ):
            kind = find_kind(whole[:HEAD])
            for size in range(1, len(whole), 7):
                list_archive(kind, whole[:size])

    @settings(max_examples=300, deadline=None)
    @given(st.sampled_from(["zip", "tar", "rar", "7z", "gz", "bz2", "xz"]), st.data())
    def test_never_raises(self, kind: str, data: st.DataObject) -> None:
        whole = {
            "zip": make_zip("a.txt", "b.exe"),
            "tar": make_tar("a.txt"),
            "rar": rar5("a.txt"),
            "7z": base64.b64decode(SEVEN["plain"]),
        }.get(kind, b"\x1f\x8b\x08")
        octets = bytearray(whole)
        for _ in range(data.draw(st.integers(0, 8))):
            octets[data.draw(st.integers(0, len(octets) - 1))] = data.draw(st.integers(0, 255))
        list_archive(kind, bytes(octets))
        list_archive(kind, data.draw(st.binary(max_size=200)))


class NestedTests(SynchronousTestCase):
    """Archives in archives: listed within bounds."""

    def paths(self, data: bytes) -> list[str]:
        listing = list_archive("zip", data)
        assert listing is not None
        return [path for path, _ in list_nested(data, listing)]

    def test_each_level_down_to_the_fifth(self) -> None:
        inner = "inner.zip"
        self.assertEqual(self.paths(make_nested("a.exe", depth=3)), [inner, f"{inner}/{inner}"])
        self.assertEqual(len(self.paths(make_nested("a.exe", depth=20))), MAX_DEPTH)

    def test_one_with_a_password_stays_closed(self) -> None:
        self.assertEqual(self.paths(make_zip("inner.zip", encrypted=True)), [])

    def test_so_many_and_no_more(self) -> None:
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w") as archive:
            for number in range(200):
                archive.writestr(f"{number}.zip", make_zip("a.txt"))
        self.assertEqual(len(self.paths(file.getvalue())), MAX_NESTED)

    def test_a_large_one_is_read_in_part(self) -> None:
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("inner.zip", make_zip("a.txt") + bytes(20_000_000))
            archive.writestr("behind.zip", make_zip("b.txt"))
        before = time.process_time()
        self.assertEqual(self.paths(file.getvalue()), ["inner.zip"])
        self.assertLess(time.process_time() - before, 1.0)

    def test_broken_in_every_octet(self) -> None:
        data = make_nested("a.exe", depth=3)
        for position in range(len(data)):
            self.paths(data[:position] + bytes([data[position] ^ 0x55]) + data[position + 1 :])
