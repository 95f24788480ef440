"""Stores of masks, black images or one image are refused; 16-bit images share one white."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from harness.data import photographs
from harness.data.archive import Archive, open_source
from harness.data.prepare import prepare
from harness.data.prepared import open_store
from harness.errors import UserError
from harness.spec.dataset import Item, Listing
from tests import archives
from tests.archives import encoded, picture, write_folder, write_zip


def _grey(number: int, high: int, *, least: int = 0) -> bytes:
    values = np.random.default_rng(number).integers(least, high, (12, 12))
    return encoded(Image.fromarray(values.astype(np.uint16)))


def _given(folder: Path, images: list[bytes]) -> tuple[Archive, Listing]:
    members = {f"{i:03}.png": content for i, content in enumerate(images)}
    items = tuple(Item(name=name, label=0, image=name) for name in members)
    return open_source(write_folder(folder, members)), items


def test_masks_black_images_and_equal_images_are_refused(tmp_path: Path) -> None:
    mask = np.zeros((30, 40), np.uint8)
    mask[3:20] = 255
    kinds = {
        "mask": (encoded(Image.fromarray(mask)), "40 of 40 sampled images are black or masks"),
        "jpeg": (encoded(Image.fromarray(mask), ".jpg"), "are black or masks"),
        "black": (encoded(Image.new("L", (9, 9))), "are black or masks"),
        "grey": (encoded(Image.new("RGB", (9, 9), (90, 90, 90))), "are black or masks"),
        "same": (encoded(picture(1)), "40 of 40 sampled images are pixel for pixel equal"),
    }
    for name, (content, message) in kinds.items():
        source, items = _given(tmp_path / name, [content] * 40)
        with pytest.raises(UserError, match=message):
            photographs.check(source, "Title", items)


def test_a_half_of_photographs_is_enough_and_few_images_are_not_judged(tmp_path: Path) -> None:
    black = encoded(Image.new("L", (9, 9)))
    source, items = _given(
        tmp_path / "half", [encoded(picture(i)) for i in range(20)] + [black] * 20
    )
    photographs.check(source, "Title", items)
    source, items = _given(tmp_path / "few", [black] * 23)
    photographs.check(source, "Title", items)


def test_the_sample_covers_a_large_data_set(tmp_path: Path) -> None:
    """64 of 1000 images, evenly spaced: masks of the last two thirds are seen."""
    good, black = encoded(picture(1)), encoded(Image.new("L", (9, 9)))
    source, items = _given(tmp_path, [good] * 300 + [black] * 700)
    with pytest.raises(UserError, match="44 of 64 sampled images are black or masks"):
        photographs.check(source, "Title", items)
    source, items = _given(tmp_path, [good] * 50 + [black] * 77)
    with pytest.raises(UserError, match="38 of 64 sampled images are black or masks"):
        photographs.check(source, "Title", items)


def test_one_white_holds_for_all_16_bit_images(tmp_path: Path) -> None:
    source, items = _given(tmp_path, [_grey(1, 100), _grey(2, 3000), encoded(picture(3))])
    photographs.set_white(source, items)
    assert source.white == 4095
    assert source.remarks == [
        f"2 images have 16 bits; their largest value is {_largest(2, 3000)}, and 4095 is taken as"
        " white in all of them."
    ]


def _largest(number: int, high: int) -> int:
    return int(np.random.default_rng(number).integers(0, high, (12, 12)).max())


def test_eight_bit_images_leave_white_and_remarks_alone(tmp_path: Path) -> None:
    source, items = _given(tmp_path, [encoded(picture(i)) for i in range(3)])
    photographs.set_white(source, items)
    assert (source.white, source.remarks) == (65535, [])


def _colour(folder: Path, high: int) -> tuple[Archive, Listing]:
    """Write 16-bit colour PNGs, which PIL does not write: as their chunks."""
    import struct
    import zlib

    def chunk(kind: bytes, content: bytes) -> bytes:
        summed = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", summed)

    values = np.random.default_rng(0).integers(0, high, (4, 5, 3)).astype(">u2")
    rows = b"".join(b"\0" + row.tobytes() for row in values)
    header = struct.pack(">IIBBBBB", 5, 4, 16, 2, 0, 0, 0)
    content = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)
    content += chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return _given(folder, [content])


def test_colour_images_of_16_bits_are_read_only_where_they_use_all(tmp_path: Path) -> None:
    """PIL drops the lower eight bits of each channel: of 12-bit values only 0 to 15 are left."""
    photographs.set_white(*_colour(tmp_path / "full", 65536))
    with pytest.raises(UserError, match="1 colour images have 16 bits per channel, of which only"):
        photographs.set_white(*_colour(tmp_path / "twelve", 4096))


def test_twelve_bit_images_are_not_black_in_the_store(tmp_path: Path) -> None:
    dataset, members = archives.brain()
    values = {}
    for number, name in enumerate(members):
        values[Path(name).stem] = np.full((30, 40), 4095 * number // 11, np.uint16)
    wide = {
        str(Path(name).with_suffix(".png")): encoded(Image.fromarray(values[Path(name).stem]))
        for name in members
    }
    prepare(dataset, write_zip(tmp_path / "a.zip", wide), root=tmp_path, size=16)
    store = open_store(tmp_path, "btmd").everything()
    expected = [round(float(values[name][0, 0]) / 4095 * 255) for name in store.names]
    assert store.images[:, 5, 5, 0].tolist() == expected
    assert max(expected) == 255
