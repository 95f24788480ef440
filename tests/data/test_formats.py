"""A file is what its first bytes say; 8-bit pixels from every mode and depth."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from PIL import Image

from harness.data import formats
from harness.data.formats import identify, open_image, scaled, to_mode, white_for
from tests.archives import FORMATS, encoded, picture


def _saved(image: Image.Image, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)  # type: ignore[arg-type]
    return stream.getvalue()


@pytest.mark.parametrize("kind", sorted({*FORMATS.values(), "GIF"}))
def test_images_are_known_by_their_first_bytes(kind: str) -> None:
    content = _saved(picture(), kind)
    assert identify(content[: formats.HEAD]).decoder == kind
    assert open_image(content).size == (40, 30)


DICOM = bytes(128) + b"DICM" + bytes(20)
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n"
OTHERS = {
    "HEIC": (b"\0\0\0\x18ftypheic" + bytes(40), "a HEIC photograph; convert it to PNG"),
    "AVIF": (b"\0\0\0\x18ftypavif" + bytes(40), "an AVIF image; convert it to PNG"),
    "video": (b"\0\0\0\x18ftypisom" + bytes(40), "a video; give still images"),
    "DICOM": (DICOM, "a DICOM file; .* `harness data add`"),
    "JPEG 2000": (b"\0\0\0\x0cjP  \r\n\x87\n", "a JPEG 2000 image; convert it"),
    "NIfTI": (bytes(344) + b"n+1\0", "a NIfTI volume; give its slices"),
    "page": (b"\n<!DOCTYPE html><title>Sign in", "a web page.*download it again while logged in"),
    "pointer": (POINTER, "a Git LFS pointer.*; run `git lfs pull`"),
    "annex": (b"/annex/objects/SHA256E-s1--00.jpg", "a git-annex pointer.*; run `git annex get`"),
    "error": (b'{"status":"ERROR","code":403}', "a JSON text.*; download it again"),
    "7z": (b"7z\xbc\xaf\x27\x1c\0\4", r"a 7z archive; unpack it and give the folder \(7z x\)"),
    "rar": (b"Rar!\x1a\x07\x01\0", "a rar archive; unpack it"),
    "zip": (b"PK\3\4" + bytes(30), "a zip archive; unpack it"),
    "PostScript": (b"%!PS-Adobe-3.0 EPSF-3.0\n", "a PostScript file; give the images"),
    "PDF": (b"%PDF-1.7\n", "a PDF file"),
    "SVG": (b'<?xml version="1.0"?>\n<svg>', "an SVG drawing; give PNG or JPEG"),
    "empty": (b"", "an empty file; download it again"),
    "zeros": (bytes(5000), "only zero bytes, as interrupted downloads leave; download it again"),
    "text": (b"this is no image", "a text; give the folder or archive"),
    "bytes": (bytes(range(1, 200)), "no format that is known here"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_files_get_their_own_advice(name: str) -> None:
    content, message = OTHERS[name]
    with pytest.raises(ValueError, match=message) as error:
        open_image(content)
    assert "\n" not in str(error.value)


def test_no_decoder_but_the_formats_own_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    """A PostScript file starts Ghostscript in PIL, whatever its name."""
    asked = []
    known = Image.open

    def spy(stream: object, formats: list[str]) -> Image.Image:
        asked.append(formats)
        return known(stream, formats=formats)  # type: ignore[arg-type]

    monkeypatch.setattr(Image, "open", spy)
    open_image(encoded(picture()))
    with pytest.raises(ValueError, match="PostScript"):
        open_image(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n")
    assert asked == [["PNG"]]


@pytest.mark.parametrize("kind", ["GIF", "TIFF", "WEBP", "PNG"])
def test_several_pictures_in_one_file_are_refused(kind: str) -> None:
    content = _saved(picture(1), kind, save_all=True, append_images=[picture(2), picture(3)])
    with pytest.raises(ValueError, match="of 3 pictures; give each as a file of its own"):
        open_image(content)


def test_damage_is_said_and_no_address_of_an_object_is_shown() -> None:
    content = encoded(picture())
    with pytest.raises(ValueError, match="a PNG image whose first bytes are damaged"):
        open_image(content[:10])
    with pytest.raises(ValueError, match=r"^a PNG image, damaged or cut short \(") as error:
        open_image(content[:-60])
    assert formats.problem(error.value) == str(error.value)
    assert " at 0x" not in str(error.value)


def _grey(values: list[int]) -> bytes:
    return encoded(Image.fromarray(np.array([values], np.uint16)))


def test_sixteen_bits_are_scaled_to_the_stated_white() -> None:
    """12-bit values: 4095 is white and 2048 the middle, 2048 / 4095 * 255 = 127.53."""
    content = _grey([0, 16, 2048, 4095])
    assert formats.sixteen_bits(content[: formats.HEAD])
    twelve = np.asarray(to_mode(open_image(content), "L", white=4095))
    assert twelve.tolist() == [[0, 1, 128, 255]]
    # As 16 bits they are nearly black: 4095 / 65535 * 255 = 15.93.
    full = np.asarray(to_mode(open_image(content), "L"))
    assert full.tolist() == [[0, 0, 8, 16]]
    colour = np.asarray(to_mode(open_image(content), "RGB", white=4095))
    assert colour[0, 2].tolist() == [128, 128, 128]


@pytest.mark.parametrize(
    ("largest", "white"),
    [(0, 255), (255, 255), (256, 1023), (4095, 4095), (4096, 16383), (65535, 65535)],
)
def test_white_is_the_largest_value_of_the_bits_in_use(largest: int, white: int) -> None:
    assert white_for(largest) == white


def test_depth_is_read_from_the_header() -> None:
    assert not formats.sixteen_bits(encoded(picture()))
    assert not formats.sixteen_bits(encoded(picture(), ".jpg"))
    assert formats.sixteen_bits(_saved(Image.fromarray(np.zeros((3, 3), np.uint16)), "TIFF"))
    assert not formats.sixteen_bits(_saved(picture(), "TIFF"))


@pytest.mark.parametrize("values", [np.int32, np.float32])
def test_values_without_a_range_are_refused(values: type) -> None:
    image = open_image(_saved(Image.fromarray(np.ones((3, 3), values)), "TIFF"))
    with pytest.raises(ValueError, match=r"32 bits .*no defined range; convert it"):
        to_mode(image, "L")


def test_sixteen_bits_of_inverted_brightness_are_refused() -> None:
    content = bytearray(_saved(Image.fromarray(np.zeros((3, 3), np.uint16)), "TIFF"))
    tag = content.index(struct.pack("<HH", 262, 3))
    content[tag + 8] = 0
    with pytest.raises(ValueError, match="whose largest value is black"):
        to_mode(open_image(bytes(content)), "L")


def test_transparency_is_ignored() -> None:
    """As torchvision's loader of image folders does: convert("RGB") keeps the hidden colour."""
    hidden = Image.new("RGBA", (2, 2), (200, 100, 50, 0))
    assert to_mode(open_image(encoded(hidden)), "RGB").getpixel((0, 0)) == (200, 100, 50)
    pale = Image.new("LA", (2, 2), (90, 0))
    assert to_mode(open_image(encoded(pale)), "L").getpixel((1, 1)) == 90


def test_scaling_rounds_and_clips() -> None:
    values = np.array([-1.0, 0.0, 0.5, 1.0, 2.0])
    assert scaled(values, 0, 1).tolist() == [0, 0, 128, 255, 255]


def test_problems_of_one_reason_stand_together_and_names_are_cut() -> None:
    assert formats.grouped(["a: dark", "b: torn", "c: dark"]) == "a, c: dark; b: torn"
    many = formats.grouped([f"n{i}: dark" for i in range(19)] + [f"m{i}: torn" for i in range(3)])
    assert many.endswith("n18: dark; m0, 2 more: torn")
    assert formats.grouped([f"n{i}: a" for i in range(20)] + ["x: b"]).endswith("; 1 files: b")
