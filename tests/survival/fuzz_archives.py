"""Archives: damaged ones of every kind, and ones that were made to do harm."""

from __future__ import annotations

import bz2
import contextlib
import io
import lzma
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from harness.data import placing
from harness.data.archive import open_source
from harness.data.prepare import prepare
from harness.data.prepared import open_store, read_manifest
from tests import archives
from tests.survival.fuzz import Run, Untold, refused
from tests.survival.mutate import Random, damaged, noise, pick

NAMES = (
    *("Training/glioma/a.png", ".", "./", "..", "../x.png", "/etc/x.png", "C:\\x.png", "a\\..\\b"),
    *(
        "a\0b.png",
        "\0",
        "",
        "a/./b.png",
        "a//b.png",
        "x" * 300 + ".png",
        "é\u202e.png",
        "\x1b[2J.png",
    ),
    *("a\nb.png", "a.zip", "a.tar.gz", "a.zip.001", ".hidden", "__MACOSX/x.png", "x/" * 200 + "y"),
    *("nul.png ", "\ud800.png", "metadata.csv", "a" * 70000, "aux", "a\x85b", "a.PNG", "~", "-rf"),
)
"""Names of members that readers tend to take badly."""


def small() -> dict[str, bytes]:
    """Return the members of a small archive in BTMD's layout."""
    return archives.brain()[1]


def packed(kind: str, members: dict[str, bytes]) -> bytes:
    """Return an archive of a kind."""
    stream = io.BytesIO()
    if kind.startswith("zip"):
        method = {
            "zip": zipfile.ZIP_STORED,
            "zip-deflate": zipfile.ZIP_DEFLATED,
            "zip-bzip2": zipfile.ZIP_BZIP2,
            "zip-lzma": zipfile.ZIP_LZMA,
        }[kind]
        with zipfile.ZipFile(stream, "w", method) as file:
            for name, content in members.items():
                file.writestr(name, content)
        return stream.getvalue()
    mode: Any = {"tar": "w", "tar.gz": "w:gz", "tar.bz2": "w:bz2", "tar.xz": "w:xz"}[kind]
    with tarfile.open(fileobj=stream, mode=mode, format=tarfile.GNU_FORMAT) as file:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            file.addfile(member, io.BytesIO(content))
    return stream.getvalue()


KINDS = ("zip", "zip-deflate", "zip-bzip2", "zip-lzma", "tar", "tar.gz", "tar.bz2", "tar.xz")


def hostile_zip(random: Random) -> bytes:
    """Return a zip whose directory holds odd names, versions, flags, methods, sizes and links."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as file:
        for number in range(int(random.integers(1, 5))):
            info = zipfile.ZipInfo(f"m{number}.png")
            name = str(pick(random, NAMES))
            with_name = name.encode("utf-8", "surrogatepass")[:60_000]
            content = bytes(int(random.integers(0, 64)))
            file.writestr(info, content)
            raw = (
                bytes(random.integers(0, 256, 6, dtype=np.uint8)) if random.random() < 0.2 else None
            )
            info.filename = "m.png"
            info.orig_filename = info.filename
            _set(info, random, raw or with_name)
    return stream.getvalue()


def _set(info: zipfile.ZipInfo, random: Random, name: bytes) -> None:
    """Change what the directory says of a member; its local header stays as it was."""
    info.filename = (
        name.decode("cp437") if random.random() < 0.5 else name.decode("utf-8", "ignore")
    )
    info.extract_version = int(pick(random, (20, 45, 63, 99, 255)))
    info.flag_bits = int(pick(random, (0, 1, 8, 0x20, 0x40, 0x800, 0x2000)))
    info.compress_type = int(pick(random, (0, 8, 12, 14, 9, 93, 95, 98, 99, 77)))
    info.external_attr = int(pick(random, (0, 0o120777 << 16, 0o060644 << 16, 16)))
    for field in ("file_size", "compress_size", "header_offset", "CRC"):
        if random.random() < 0.2:
            value = int(pick(random, (0, 1, 2**20, 2**31, 2**32 - 2)))
            setattr(info, field, value)
    if random.random() < 0.2:
        info.extra = noise(random, 0, 40)
    if random.random() < 0.2:  # zip64: sizes and offset of 64 bits
        info.extra = struct.pack("<HHQQQ", 1, 24, *random.integers(0, 2**63, 3).tolist())


def hostile_tar(random: Random) -> bytes:
    """Return a tar of devices, links, pipes, odd names, sizes and extended headers."""
    stream = io.BytesIO()
    kinds = (
        b"0",
        b"1",
        b"2",
        b"3",
        b"4",
        b"5",
        b"6",
        b"7",
        b"L",
        b"K",
        b"x",
        b"g",
        b"S",
        b"V",
        b"?",
    )
    for _ in range(int(random.integers(1, 40))):
        info = tarfile.TarInfo(str(pick(random, NAMES)).replace("\ud800", "?")[:99])
        kind = pick(random, kinds)
        info.type = kind
        info.linkname = str(pick(random, ("", "/etc/passwd", "../x", "a")))
        content = noise(random, 0, 200)
        if kind in b"xg" and random.random() < 0.7:
            content = _pax(random)
        info.size = len(content)
        header = bytearray(info.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape"))
        if random.random() < 0.2:
            size = (
                b"77777777777\0",
                b"\x80" + b"\xff" * 11,
                b"\xff" * 12,
                b"-1\0" + b" " * 9,
                b"x" * 12,
            )
            field = pick(random, size)
            header[124:136] = field
            header[148:156] = b" " * 8
            header[148:156] = b"%06o\0 " % sum(header[:512])
        stream.write(header + content + bytes(-len(content) % 512))
    return stream.getvalue() + bytes(1024)


def _pax(random: Random) -> bytes:
    """Return an extended header, most often an odd one."""
    keys = (
        "path",
        "size",
        "linkpath",
        "GNU.sparse.map",
        "GNU.sparse.major",
        "GNU.sparse.size",
        "mtime",
    )
    values = ("9" * 400, "-1", "nan", "1e999", "a\0b", "../x", "", "0,1,2", "1", "é\x1b[2J")
    text = f"{pick(random, keys)}={pick(random, values)}\n".encode()
    length = len(text) + 3
    return f"{int(pick(random, (length, length, 0, 10**9, 5))):d} ".encode() + text


def bomb(random: Random) -> bytes:
    """Return megabytes of zeros in a few bytes, packed in one way or another."""
    zeros = bytes(int(random.integers(3, 12)) * 2**20)
    match int(random.integers(5)):
        case 0:
            return packed("zip-deflate", {"a.png": zeros})
        case 1:
            return packed("tar.gz", {"a.png": zeros})
        case 2:
            return bz2.compress(packed("tar", {"a.png": zeros}))
        case 3:
            return lzma.compress(packed("tar", {"a.png": zeros}))
        case _:
            inner = packed("zip-deflate", {"a.png": zeros})
            return packed("zip-deflate", {"b.zip": packed("zip", {"c.zip": inner, "d.zip": inner})})


def archive_fuzzer(folder: Path) -> Run:
    """Open archives, list them and read all that is in them; prepare every fourth."""
    seeds = [packed(kind, small()) for kind in KINDS]
    nested = packed(
        "zip", {f"inner.{kind}": content for kind, content in zip(KINDS, seeds, strict=True)}
    )
    nested = packed("zip", {"x.zip": seeds[0], "y.tar.gz": seeds[5], "z/w.tar": seeds[4]})
    seeds += [nested, packed("tar", {"x.zip": nested}), b"\x28\xb5\x2f\xfd" + bytes(64)]
    makers: tuple[Callable[[Random], bytes], ...] = (hostile_zip, hostile_tar, bomb)
    dataset = archives.brain()[0]
    root = folder / "data"

    def run(random: Random) -> None:
        share = random.random()
        if share < 0.7:
            whole = pick(random, seeds)
            content = damaged(random, whole)
        else:
            content = makers[0 if share < 0.84 else 1 if share < 0.98 else 2](random)
        path = folder / str(pick(random, ("a.zip", "a.tar", "a.tar.gz", "a", "\x1b[2J.zip")))
        path.write_bytes(content)
        try:
            with refused(), open_source(path, scratch=folder) as source:
                for name in source.names():
                    with contextlib.suppress(ValueError):
                        source.head(name, 16)
                        source.read(name)
                        source.same(name, source.names()[0])
                    with refused():
                        source.table(name)
            if random.random() < 0.25:
                _prepare(dataset, path, root)
        finally:
            path.unlink()

    return run


def _prepare(dataset: Any, path: Path, root: Path) -> None:
    before = read_manifest(root, dataset.name)
    with refused():
        prepare(dataset, path, root=root, size=16, workers=1)
    if root.exists():
        names = {found.name for found in root.iterdir()}
        if not names <= {dataset.name} or placing.leftovers(root):
            raise Untold(f"left behind: {names}")
    after = read_manifest(root, dataset.name)
    if before is not None and after is None:
        raise Untold("the store was lost")
    if after is not None:
        open_store(root, dataset.name).everything().load()


FUZZERS = {"archives": archive_fuzzer}
