"""Strangers' files: archives, images and tables that were made to do harm, each one line."""

from __future__ import annotations

import io
import os
import struct
import tarfile
import zlib
from pathlib import Path

import numpy as np
import pytest

from harness.data import formats, own
from harness.data.archive import open_source
from harness.data.formats import open_image
from harness.data.prepare import prepare
from harness.errors import UserError, listed, shown
from tests import archives
from tests.archives import encoded, picture, write_folder, write_zip
from tests.conftest import ROOT, Harness
from tests.survival import fuzz, fuzz_archives, fuzz_images
from tests.survival.fuzz import check_line

CLEAR = "\x1b[2J"
"""Clears a terminal's screen."""


def _refused(path: Path, match: str) -> None:
    with pytest.raises(UserError, match=match) as error, open_source(path) as source:
        for name in source.names():
            source.read(name)
    check_line(str(error.value))


def _patched(content: bytes, name: bytes, offset: int, value: bytes) -> bytes:
    """Change bytes of the central directory's entry of a member."""
    at = content.rindex(name) - 46
    assert content[at : at + 4] == b"PK\1\2"
    return content[: at + offset] + value + content[at + offset + len(value) :]


@pytest.mark.parametrize(
    ("offset", "value", "match"),
    [
        (6, struct.pack("<H", 99), r"damaged"),  # version needed 9.9
        (8, struct.pack("<H", 1), "is encrypted"),
        (10, struct.pack("<H", 77), "packed with method 77"),
        (38, struct.pack("<I", 0o120777 << 16), "not safe to read: 'a.png' .a link"),
        (46, b".\0\0\0\0", "not safe to read: '' .no name"),
        (46, b"\0.png", "not safe to read: '' .no name"),
        (46, b"../.p", "leads out of the archive"),
        (46, b"/.png", "absolute"),
        (24, struct.pack("<I", 2**32 - 2), "inflates to 4095 MiB"),
        (20, struct.pack("<I", 0) + struct.pack("<I", 2**24), "decompression bomb"),
    ],
)
def test_a_zip_s_directory_may_say_anything(
    tmp_path: Path, offset: int, value: bytes, match: str
) -> None:
    content = archives.zipped({"a.png": b"x"})
    path = tmp_path / "a.zip"
    path.write_bytes(_patched(content, b"a.png", offset, value))
    _refused(path, match)


@pytest.mark.parametrize(
    "name", ["\xff\xfe.png", "é.png", f"{CLEAR}.png", "a\u202eb.png", "a\nb.png"]
)
def test_odd_names_are_read_and_shown_escaped(tmp_path: Path, name: str) -> None:
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as archive:
        info = tarfile.TarInfo(name)
        info.size = 1
        archive.addfile(info, io.BytesIO(b"x"))
    (tmp_path / "folder").mkdir()
    Path(os.fsdecode(os.fsencode(tmp_path / "folder") + b"/\xff" + name.encode())).write_text("x")
    for source in (path, tmp_path / "folder"):
        with open_source(source) as opened:
            (found,) = opened.names()
            assert opened.read(found) == b"x"
            assert found == shown(found)
            with pytest.raises(UserError) as error:
                opened.table(found)
            check_line(str(error.value))


@pytest.mark.parametrize(
    ("kind", "match"),
    [
        *((kind, "a link") for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE)),
        *((kind, "a device, a pipe") for kind in (tarfile.CHRTYPE, tarfile.FIFOTYPE)),
    ],
)
def test_a_tar_holds_files_only(tmp_path: Path, kind: bytes, match: str) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        info = tarfile.TarInfo("a.png")
        info.type, info.linkname = kind, "/etc/passwd"
        archive.addfile(info)
    _refused(tmp_path / "a.tar", match)


@pytest.mark.parametrize("kind", fuzz_archives.KINDS)
@pytest.mark.parametrize("share", [0.05, 0.3, 0.6, 0.95])
def test_a_changed_stream_gives_no_other_bytes(tmp_path: Path, kind: str, share: float) -> None:
    """Each kind but tar states a checksum; what it gives is what was packed, or nothing."""
    random = np.random.default_rng(1)
    members = {f"{i}.png": random.bytes(400) for i in range(8)}
    content = bytearray(fuzz_archives.packed(kind, members))
    at = int(len(content) * share)
    content[at : at + 8] = bytes(byte ^ 0x55 for byte in content[at : at + 8])
    path = tmp_path / "a"
    path.write_bytes(content)
    try:
        with open_source(path) as source:
            for name in source.names():
                try:
                    read = source.read(name)
                except ValueError as error:
                    check_line(str(error))
                    continue
                assert kind == "tar" or read == members.get(name, read)
    except UserError as error:
        check_line(str(error))


def test_a_bomb_writes_nothing(tmp_path: Path) -> None:
    dataset = archives.brain()[0]
    for number in range(6):
        path = tmp_path / "a.zip"
        path.write_bytes(fuzz_archives.bomb(np.random.default_rng(number)))
        with pytest.raises(UserError, match="bomb|two different|instead of 12|no files|Not read"):
            prepare(dataset, path, root=tmp_path / "data", size=16)
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("kind", ["AVIF", "DDS", "EPS", "JPEG2000", "PPM", "TGA", "ICNS", "PCX"])
def test_formats_that_are_not_decoded_are_named_whatever_their_ending(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that is named .png starts no other program: not even one that is there."""
    started = tmp_path / "started"
    program = tmp_path / "bin" / "gs"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\ntouch {started}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    content = fuzz_images.saved("RGB", kind)
    if content is None:
        pytest.skip(f"this Pillow writes no {kind}")
    dataset, members = archives.brain()
    broken = {**members, f"Training/glioma/Tr-gl_00{CLEAR}.png": content}
    del broken["Training/glioma/Tr-gl_00.jpg"]
    with pytest.raises(
        UserError, match=r"1 files cannot be used: .*Tr-gl_00\\x1b\[2J.png: "
    ) as error:
        prepare(dataset, write_zip(tmp_path / "a.zip", broken), root=tmp_path / "data", size=16)
    check_line(str(error.value))
    assert not started.exists()
    assert list((tmp_path / "data").iterdir()) == []


def test_no_image_is_opened_but_by_its_format() -> None:
    """PIL tries every decoder it has, Ghostscript's too, unless it is told which to take."""
    for room in ("harness", "msmae", "baselines", "experiments", "bench"):
        for path in (ROOT / room).rglob("*.py"):
            text = path.read_text(encoding="utf-8")
            for call in text.split("Image.open(")[1:]:
                assert "formats=" in call[:80], path
            for reader in ("imread(", "decode_image(", "read_image(", "pil_loader", "ImageFolder"):
                if (path.name, reader) != ("_plain.py", "ImageFolder"):  # of images it has written
                    assert reader not in text, path


@pytest.mark.parametrize(
    "content",
    [
        fuzz_images.png(2**31 - 1, 2**31 - 1, 8, 2),
        fuzz_images.png(20_000, 20_000, 8, 2),
        fuzz_images.png(10_001, 10_000, 8, 0),
        fuzz_images.png(0, 5, 8, 2),
        fuzz_images.png(8, 8, 8, 2, (b"zTXt", b"a\0\0" + zlib.compress(bytes(2**26)))),
        fuzz_images.png(8, 8, 8, 3, (b"PLTE", b"\0")),
        encoded(picture(), ".tif").replace(struct.pack("<HHI", 256, 4, 1), b"\0" * 8),
        b"BM" + bytes(12) + struct.pack("<IiiHH", 40, 2**31 - 1, -(2**31) + 1, 1, 24) + bytes(60),
        b"GIF89a\xff\xff\xff\xff" + bytes(40),
        b"II*\0\x08\0\0\0\xff\xff" + bytes(60),
        b"RIFF\xff\xff\xff\xffWEBPVP8X\x0a\0\0\0\x10\0\0\0\xff\xff\xff\xff\xff\xff",
    ],
)
def test_sizes_and_chunks_may_say_anything(
    content: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ValueError) as error:
        formats.to_mode(open_image(content), "RGB")
    check_line(str(error.value))
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("mode", ["CMYK", "P", "I;16", "1", "LA", "PA", "RGBA"])
def test_sound_images_of_any_mode_are_still_read(mode: str) -> None:
    kind = {"CMYK": "JPEG", "PA": "TIFF"}.get(mode, "PNG")
    content = fuzz_images.saved(mode, kind)
    if content is None:
        pytest.skip(f"Pillow writes no {mode}")
    with open_image(content) as image:
        assert formats.to_mode(image, "RGB").size == (20, 14)


ADD = ("--image-column", "image", "--label-column", "label", "--yes", "--size", "16")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0" * 100,
        b"image,label\na.png,\0\nb.png,x\n",
        b"\xff\xfeimage,label",
        "image,label\na.png,x\n".encode("utf-16-le"),
        b'image,label\na.png,"x\nb.png,y\n',
        b"image,label\n" + b"a.png," + b"9" * 5000 + b"\nb.png," + b"8" * 5000 + b"\n",
        b",".join(b"c%d" % i for i in range(10**6)) + b"\n" + b",\n" * 10,
        b"image,label\na.png,x" + b"," * 10**6,
        b"image|label\na.png|x\nb.png|y\n",
        b"image,label\n" + b"a" * 200_000 + b".png,x\nb.png,y\n",
        f"image,label\n{CLEAR}.png,x\nb.png,y\n".encode(),
        b"{}",
        b'[{"image": "a.png", "label": "x"}]',
    ],
    ids=range(14),
)
def test_tables_are_read_or_refused_in_one_line(
    tmp_path: Path, harness: Harness, content: bytes
) -> None:
    write_folder(tmp_path, {"a.png": encoded(picture(1)), "b.png": encoded(picture(2))})
    (tmp_path / "t.csv").write_bytes(content)
    code, _, err = harness("data", "add", "mine", "--csv", "t.csv", *ADD, "--data", "data")
    assert code == 2
    assert err.count("\n") == 1
    check_line(err.strip())
    assert len(err) < 5000
    (tmp_path / "a.zip").write_bytes(archives.zipped(archives.brain()[1]))
    words = ("data", "prepare", "btmd", "--from", "a.zip", "--split-file", "t.csv")
    code, _, err = harness(*words, "--data", "data")
    assert code == 2
    assert err.count("\n") == 1
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("words", [("--workers", "-1"), ("--workers", "0"), ("--size", "9" * 5000)])
def test_odd_numbers_are_one_line(harness: Harness, words: tuple[str, str]) -> None:
    code, _, err = harness("data", "prepare", "btmd", "--from", "x.zip", *words)
    assert code == 2
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    "line",
    [
        "counts = [" + "9" * 400 + ", 1]",
        "counts = [" + "9" * 5000 + ", 1]",
        "counts = [1e308, 1]",
        "counts = [true, 1]",
        "channels = nan",
        "title = 1",
        f"format = {'[' * 3000}",
        "\x1b = 1",
    ],
)
def test_descriptions_of_own_data_are_one_line(tmp_path: Path, harness: Harness, line: str) -> None:
    described = own.OwnDataset(
        title="x", classes=("a", "b"), counts=(1, 1), channels=3, source="/nowhere"
    )
    path = own.write(tmp_path, "mine", described)
    key = line.partition(" =")[0]
    kept = [text for text in path.read_text().splitlines() if not text.startswith(f"{key} =")]
    path.write_text("\n".join([line, *kept]))
    code, out, err = harness("data", "list", "--data", str(tmp_path))
    assert code == 0
    assert "btmd" in out
    assert err.count("\n") == 1
    check_line(err.strip())


def test_names_that_a_terminal_would_obey_are_printed_escaped(
    tmp_path: Path, harness: Harness
) -> None:
    for number in range(40):
        label = f"class {CLEAR}{number % 2}\u202e"
        write_folder(
            tmp_path / "images" / label, {f"{number}{CLEAR}.png": encoded(picture(number))}
        )
    words = ("data", "add", "mine", "--from", "images", "--title", CLEAR, "--yes", "--size", "16")
    added = harness(*words, "--data", "data")
    assert added[0] == 0, added
    seen = [
        added,
        *(harness("data", *w, "--data", "data") for w in (("list",), ("verify", "mine"))),
    ]
    write_folder(tmp_path / "images" / f"third{CLEAR}", {"x.png": encoded(picture(99))})
    seen.append(harness("data", "prepare", "mine", "--data", "data"))
    assert [code for code, _, _ in seen] == [0, 0, 0, 2]
    for _, out, err in seen:
        for line in (out + err).splitlines():
            check_line(line or "x")
    assert r"\x1b[2J" in seen[1][1]
    assert listed([CLEAR]) == r"\x1b[2J"


def test_a_path_that_is_not_utf_8_is_one_line(tmp_path: Path, harness: Harness) -> None:
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff"))
    for number in range(40):
        name = f"{'ab'[number % 2]}/{number}.png"
        write_folder(folder, {name: encoded(picture(number))})
    words = ("--yes", "--size", "16", "--data", "data")
    code, _, err = harness("data", "add", "mine", "--from", str(folder), *words)
    assert code == 2
    assert err.count("\n") == 1
    assert "is no text (UTF-8 without NUL)" in err


SHORT: dict[str, int] = {"stores": 300, "archives": 250, "images": 250, "tables": 150, "runs": 150}
"""Inputs per fuzzer that take a few seconds together."""


@pytest.mark.parametrize("name", sorted(SHORT))
def test_inputs_of_each_fuzzer_are_survived(tmp_path: Path, name: str) -> None:
    """A short form of ``make fuzz``, with the same inputs each time."""
    counts = fuzz.fuzz(
        {name: fuzz.fuzzers()[name]}, seconds=30, inputs=SHORT.get(name, 60), first=0
    )
    assert counts[name].failures == []
