"""What a file is, decided by its first bytes and never by its ending; images as 8-bit pixels.

Only the formats of ``IMAGES`` are decoded, each by its own decoder: a PostScript file that is named
.png starts no other program. Everything else that users take for an image or an archive has a line
that says what it is and what to do.
"""

from __future__ import annotations

import io
import logging
import struct
import warnings
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Literal, NamedTuple

import numpy as np
from PIL import Image, UnidentifiedImageError

from harness.errors import LISTED, UserError, shown

HEAD = 512
"""Number of first bytes that identify a file."""

PIXEL_LIMIT = 100_000_000
"""Largest allowed image in pixels; the largest official one (Messidor-2) has 3.4 million."""

UNREADABLE = (OSError, ValueError, SyntaxError, EOFError, struct.error, zlib.error)
"""Exceptions of files that cannot be read."""

BROKEN: tuple[type[Exception], ...] = (
    *UNREADABLE,
    *(ArithmeticError, AssertionError, AttributeError, LookupError, MemoryError, RuntimeError),
    *(TypeError, Image.DecompressionBombError),
)
"""Exceptions that libraries raise for hostile files, depending on the format: a number of a header
that is taken for an index, a length or a type."""

# ``open_image`` has a limit of its own, and a warning would be lines among those of a command.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
# PIL also warns of odd fields that say nothing of pixels, such as EXIF, two lines each.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
# Without a handler Python prints what PIL logs, beside the error that is raised as well.
logging.getLogger("PIL").addHandler(logging.NullHandler())

WHITE = 65535
"""Value of white in a 16-bit image whose data set says nothing else."""


class Format(NamedTuple):
    """A format that a file's first bytes show.

    Attributes:
        name: in words, with an article: "a PNG image".
        role: "image" and "archive" can be read; "other" cannot, and ``advice`` says what to do.
        advice: what a user does with a file that cannot be read here.
        decoder: PIL's name of an image's format.
    """

    name: str
    role: Literal["image", "archive", "other"]
    advice: str = ""
    decoder: str = ""


_CONVERT = "convert it to PNG"
_UNPACK = "unpack it and give the folder"
_AGAIN = "download it again"

EMPTY = Format("an empty file", "other", _AGAIN)
ZEROS = Format("only zero bytes, as interrupted downloads leave", "other", _AGAIN)
TEXT = Format("a text", "other", "give the folder or archive of images")
HTML = Format(
    "a web page, such as a login or error page that was saved",
    "other",
    "download it again while logged in",
)
JSON = Format("a JSON text, such as a server's error that was saved", "other", _AGAIN)
UNKNOWN = Format("no format that is known here", "other", "give images or an archive of them")

PNG = Format("a PNG image", "image", decoder="PNG")
ZIP = Format("a zip archive", "archive")
TAR = Format("a tar archive", "archive")
GZIP = Format("a gzip file", "archive")
BZIP2 = Format("a bzip2 file", "archive")
XZ = Format("an xz file", "archive")

DICOM = Format(
    "a DICOM file",
    "other",
    "official archives hold PNG or JPEG; own DICOM images are read by `harness data add`",
)

_STARTS: tuple[tuple[bytes, Format], ...] = (
    (b"\x89PNG\r\n\x1a\n", PNG),
    (b"\xff\xd8\xff", Format("a JPEG image", "image", decoder="JPEG")),
    (b"GIF8", Format("a GIF image", "image", decoder="GIF")),
    (b"II*\0", Format("a TIFF image", "image", decoder="TIFF")),
    (b"MM\0*", Format("a TIFF image", "image", decoder="TIFF")),
    (b"II+\0", Format("a BigTIFF image", "image", decoder="TIFF")),
    (b"MM\0+", Format("a BigTIFF image", "image", decoder="TIFF")),
    (b"PK\3\4", ZIP),
    (b"PK\5\6", ZIP),
    (b"PK\7\b", ZIP),
    (b"PK00PK\3\4", ZIP),
    (b"\x1f\x8b", GZIP),
    (b"BZh", BZIP2),
    (b"\xfd7zXZ\0", XZ),
    (b"7z\xbc\xaf\x27\x1c", Format("a 7z archive", "other", f"{_UNPACK} (7z x)")),
    (b"Rar!\x1a\x07", Format("a rar archive", "other", f"{_UNPACK} (unrar x)")),
    (b"\x28\xb5\x2f\xfd", Format("a zstandard file", "other", f"{_UNPACK} (zstd -d, tar x)")),
    (b"%!PS", Format("a PostScript file", "other", "give the images themselves")),
    (b"%PDF", Format("a PDF file", "other", "give the images themselves")),
    (b"8BPS", Format("a Photoshop file", "other", _CONVERT)),
    (b"\0\0\0\x0cjP  ", Format("a JPEG 2000 image", "other", _CONVERT)),
    (b"\xff\x4f\xff\x51", Format("a JPEG 2000 image", "other", _CONVERT)),
    (b"\x89HDF\r\n\x1a\n", Format("an HDF5 file", "other", "give the images as PNG")),
    (b"\x93NUMPY", Format("a NumPy array", "other", "give the images as PNG")),
    (b"NRRD", Format("an NRRD volume", "other", "give its slices as PNG")),
    (b"\xd0\xcf\x11\xe0", Format("an Excel workbook", "other", "save it as CSV")),
    (
        b"version https://git-lfs",
        Format("a Git LFS pointer, not the file itself", "other", "run `git lfs pull`"),
    ),
    (
        b"/annex/objects/",
        Format("a git-annex pointer, not the file itself", "other", "run `git annex get`"),
    ),
)

_INSIDE: tuple[tuple[int, bytes, Format], ...] = (
    (128, b"DICM", DICOM),
    (257, b"ustar", TAR),
    (344, b"n+1", Format("a NIfTI volume", "other", "give its slices as PNG")),
    (344, b"ni1", Format("a NIfTI volume", "other", "give its slices as PNG")),
)
"""Formats whose mark does not stand at the start: its offset."""

_HEIF = Format("a HEIC photograph", "other", _CONVERT)
_BRANDS = {
    **dict.fromkeys((b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1"), _HEIF),
    **dict.fromkeys((b"avif", b"avis"), Format("an AVIF image", "other", _CONVERT)),
}
"""ISO media files by the brand that follows "ftyp"."""


def identify(head: bytes) -> Format:
    """Return the format that a file's first ``HEAD`` bytes show."""
    if not head:
        return EMPTY
    if not head.strip(b"\0"):
        return ZEROS
    for start, found in _STARTS:
        if head.startswith(start):
            return found
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return Format("a WebP image", "image", decoder="WEBP")
    if head[4:8] == b"ftyp":
        return _BRANDS.get(head[8:12], Format("a video", "other", "give still images"))
    for offset, mark, found in _INSIDE:
        if head.startswith(mark, offset):
            return found
    # Bitmaps start with two letters only; the size of the header that follows is one of few.
    if head[:2] == b"BM" and head[14:18] in (struct.pack("<I", n) for n in (12, 40, 108, 124)):
        return Format("a BMP image", "image", decoder="BMP")
    return _identify_text(head)


def _identify_text(head: bytes) -> Format:
    """Return the kind of text that a file starts with, ``UNKNOWN`` if it is no text."""
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith((b"<!doctype html", b"<html", b"<head", b"<script")):
        return HTML
    if start.startswith((b"<?xml", b"<svg", b"<!doctype")):
        shown = "an SVG drawing" if b"<svg" in start else "an XML text"
        return Format(shown, "other", "give PNG or JPEG images")
    if start.startswith((b'{"', b"{\n", b"{\r", b"[{")):
        return JSON
    controls = sum(byte < 32 and byte not in b"\t\n\v\f\r" for byte in head)
    return UNKNOWN if controls else TEXT


@contextmanager
def guarded(title: str, *more: type[Exception]) -> Iterator[None]:
    """Turn whatever a library raises for a hostile file into a ``ValueError`` of one line.

    Args:
        title: what the file is, with an article.
        more: exceptions of the library's own besides ``BROKEN``.
    """
    try:
        yield
    except UserError:
        raise
    except UnidentifiedImageError as error:
        raise ValueError(f"{title} whose first bytes are damaged; get it again") from error
    except Image.DecompressionBombError as error:
        raise ValueError(in_short(error)) from error
    except BROKEN + more as error:
        reason = in_short(error) or type(error).__name__
        raise ValueError(f"{title}, damaged or cut short ({reason}); get it again") from error


def in_short(error: BaseException) -> str:
    """Return an error's message in one line of at most 200 characters."""
    return shown(" ".join(str(error).split()))[:200]


def open_image(content: bytes, *, decode: bool = True) -> Image.Image:
    """Open an image after checking its format, number of pixels and number of pictures.

    Args:
        content: of the file.
        decode: decode the pixels, too; otherwise that happens when they are first asked for, and
            raises what ``BROKEN`` lists unless it is ``guarded``.

    Raises:
        ValueError: it is no image of a format that is decoded here, has more than ``PIXEL_LIMIT``
            pixels or several pictures, or is damaged; the message says what to do.
    """
    found = identify(content[:HEAD])
    if found.role != "image":
        advice = found.advice or "unpack it beside the other files"
        raise ValueError(f"{found.name}; {advice}")
    with guarded(found.name):
        image = Image.open(io.BytesIO(content), formats=[found.decoder])
    if image.width * image.height > PIXEL_LIMIT:
        raise ValueError(f"{image.width} x {image.height} pixels: a decompression bomb")
    with guarded(found.name):
        # A second picture of a JPEG is a preview; of the others it is a page or a slice.
        pictures = 1 if found.decoder == "JPEG" else getattr(image, "n_frames", 1)
    if pictures > 1:
        raise ValueError(f"{found.name} of {pictures} pictures; give each as a file of its own")
    if decode:
        with guarded(found.name):
            image.load()
    return image


def problem(error: BaseException) -> str:
    """Return what is wrong with an image, from the exception that reading it raised."""
    return str(error) if isinstance(error, ValueError) else f"cannot be read ({in_short(error)})"


def grouped(problems: Sequence[str]) -> str:
    """Return problems "NAME: REASON" in one line, names of one reason together, 20 names in all."""
    names: dict[str, list[str]] = {}
    for text in problems:
        name, _, reason = text.partition(": ")
        names.setdefault(reason, []).append(name)
    left, groups = LISTED, []
    for reason, of_reason in names.items():
        told = [shown(name) for name in of_reason[: max(left, 0)]]
        left -= len(of_reason)
        more = len(of_reason) - len(told)
        counted = ([f"{more} more"] if told else [f"{more} files"]) if more else []
        groups.append(f"{', '.join(told + counted)}: {shown(reason)}")
    return "; ".join(groups)


def sixteen_bits(content: bytes) -> bool:
    """Return whether an image stores 16 bits per value; its first ``HEAD`` bytes do for a PNG."""
    found = identify(content[:HEAD])
    if found.decoder == "PNG":
        return content[24:25] == b"\x10"  # the header's bit depth
    if found.decoder == "TIFF":
        image = open_image(content, decode=False)
        with guarded(found.name):
            bits = getattr(image, "tag_v2", {}).get(258, ())  # bits per sample
            return 16 in (bits if isinstance(bits, tuple) else (bits,))
    return False


def wide(image: Image.Image) -> bool:
    """Return whether an image has one channel of 16 bits.

    PIL reads 16-bit images of several channels as 8-bit ones: the upper half of each value.
    """
    return image.mode.startswith("I;16")


def to_mode(image: Image.Image, mode: str, *, white: int = WHITE) -> Image.Image:
    """Return an image in PIL's mode "L" or "RGB", with values in 0..255.

    Transparency is ignored, as torchvision's loader of image folders ignores it; palettes, CMYK
    and images of one bit are converted by PIL.

    Args:
        image: as ``open_image`` returns it.
        mode: "L" or "RGB".
        white: the value of a 16-bit image that becomes 255. It is one value for the whole data set:
            chosen per image, the same tissue would be bright in one image and dark in another.

    Raises:
        ValueError: the image's values have no defined range.
    """
    if wide(image):
        # TIFF's tag 262 is 0 where the largest value is black; PIL ignores it at 16 bits.
        tags = getattr(image, "tag_v2", {})
        if tags.get(262) == 0:
            raise ValueError("a 16-bit TIFF whose largest value is black; convert it to PNG")
        return Image.fromarray(scaled(np.asarray(image), 0, white)).convert(mode)
    if image.mode in ("I", "F"):
        raise ValueError(
            f"values of 32 bits (PIL's mode {image.mode}), which have no defined range;"
            " convert it to PNG of 8 or 16 bits"
        )
    # PIL warns unless palettes with transparency are converted through RGBA.
    if image.mode == "P" and "transparency" in image.info:
        return image.convert("RGBA").convert(mode)
    return image.convert(mode)


def scaled(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Return values as uint8: ``low`` becomes 0, ``high`` 255, rounded and clipped."""
    share = (values.astype(np.float64) - low) / (high - low)
    pixels: np.ndarray = np.rint(np.clip(share, 0, 1) * 255).astype(np.uint8)
    return pixels


def white_for(largest: int) -> int:
    """Return the value of white for 16-bit images whose largest value in a data set is given.

    That is the largest value of 8, 10, 12, 14 or 16 bits, whichever is the first that holds it.
    """
    return next(2**bits - 1 for bits in (8, 10, 12, 14, 16) if largest < 2**bits)
