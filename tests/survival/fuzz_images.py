"""Images: damaged ones of every format, read here or not, under right and wrong names."""

from __future__ import annotations

import contextlib
import io
import struct
import zlib
from pathlib import Path

import numpy as np

from harness.data import formats, photographs
from harness.data.archive import open_source
from harness.data.copies import one_of_each
from harness.data.decode import decode
from harness.data.intensity import Intensity
from harness.data.own_listing import Found
from harness.data.own_pixels import opener
from harness.data.own_survey import survey
from harness.spec.dataset import Item
from tests.archives import picture
from tests.survival.fuzz import Run, check_line, refused
from tests.survival.mutate import Random, damaged, noise, pick

MODES = ("RGB", "L", "P", "RGBA", "CMYK", "I;16", "1", "LA", "F", "I")
SAVED = (
    "PNG",
    "JPEG",
    "TIFF",
    "GIF",
    "BMP",
    "WEBP",
    "AVIF",
    "DDS",
    "EPS",
    "JPEG2000",
    "PPM",
    "TGA",
)
"""Formats that Pillow writes."""

STARTS = (
    *(b"BLP1", b"BLP2", b"8BPS\0\1", b"\xd7\xcd\xc6\x9a", b"\x00\x00\x00\x00\x11\xaf", b"GIF89a"),
    *(b"DDS \x7c\0\0\0", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", b"\xc5\xd0\xd3\xc6"),
    *(
        b"\0\0\0\x0cjP  \r\n\x87\n",
        b"ftypavif",
        b"\0\0\0\x20ftypavif",
        b"icns",
        b"\0\0\1\0",
        b"FORM",
    ),
    *(
        b"RIFF\xff\xff\xff\xffWEBPVP8X",
        b"II*\0\xff\xff\xff\xff",
        b"MM\0+\0\x08",
        b"\xff\xd8\xff\xe0",
    ),
)
"""First bytes of formats, with and without something behind."""


def saved(mode: str, kind: str) -> bytes | None:
    """Return a small image of a mode in a format, None where Pillow cannot write that."""
    stream = io.BytesIO()
    try:
        image = picture(1, size=(20, 14))
        image = (
            image.convert("L").convert("I").convert("I;16")
            if mode == "I;16"
            else image.convert(mode)
        )
        image.save(stream, kind)
    except (OSError, ValueError, KeyError):
        return None
    return stream.getvalue()


def png(width: int, height: int, depth: int, colour: int, *more: tuple[bytes, bytes]) -> bytes:
    """Return a PNG of a header, further chunks and few pixels."""
    header = struct.pack(">IIBBBBB", width % 2**32, height % 2**32, depth, colour, 0, 0, 0)
    chunks = ((b"IHDR", header), *more, (b"IDAT", zlib.compress(bytes(64))), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
    )


def odd_png(random: Random) -> bytes:
    """Return a PNG with right checksums and wrong contents."""
    side = (0, 1, 20, 10_001, 2**31 - 1, 2**32 - 1)
    kinds = (
        b"tEXt",
        b"zTXt",
        b"iTXt",
        b"iCCP",
        b"acTL",
        b"fcTL",
        b"PLTE",
        b"tRNS",
        b"eXIf",
        b"gAMA",
        b"IHDR",
    )
    more = []
    for _ in range(int(random.integers(0, 4))):
        kind = pick(random, kinds)
        body = noise(random, 0, 40)
        if kind == b"zTXt" and random.random() < 0.3:
            body = b"a\0\0" + zlib.compress(bytes(2**21))
        more.append((kind, body))
    return png(
        int(pick(random, side)),
        int(pick(random, side)),
        int(pick(random, (1, 2, 4, 8, 16, 3, 255))),
        int(pick(random, (0, 2, 3, 4, 6, 5))),
        *more,
    )


def dicom() -> bytes | None:
    """Return a small DICOM file of 16 bits, None without pydicom."""
    try:
        import pydicom
    except ImportError:
        return None
    file = pydicom.Dataset()
    file.file_meta = pydicom.dataset.FileMetaDataset()
    file.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    file.file_meta.MediaStorageSOPClassUID = pydicom.uid.SecondaryCaptureImageStorage
    file.file_meta.MediaStorageSOPInstanceUID = pydicom.uid.UID("1.2.3")
    file.SOPClassUID, file.SOPInstanceUID = pydicom.uid.SecondaryCaptureImageStorage, "1.2.3"
    values = np.arange(64, dtype=np.uint16).reshape(8, 8)
    file.Rows, file.Columns = values.shape
    file.SamplesPerPixel, file.PhotometricInterpretation = 1, "MONOCHROME2"
    file.BitsAllocated, file.BitsStored, file.HighBit, file.PixelRepresentation = 16, 16, 15, 0
    file.WindowCenter, file.WindowWidth = 30, 40
    file.RescaleSlope, file.RescaleIntercept, file.NumberOfFrames = 1, 0, 1
    file.PixelData = values.tobytes()
    stream = io.BytesIO()
    pydicom.dcmwrite(stream, file, enforce_file_format=True)
    return stream.getvalue()


def image_fuzzer(folder: Path) -> Run:
    """Decode images as official archives and own data are decoded."""
    seeds = [content for mode in MODES for kind in SAVED if (content := saved(mode, kind))]
    made = dicom()
    # DICOM has many more fields than the others have.
    seeds += [made] * (len(seeds) // 4) if made else []
    name = "a\x1b[2J.png"

    def run(random: Random) -> None:
        share = random.random()
        if share < 0.75:
            whole = pick(random, seeds)
            content = damaged(random, whole)
        elif share < 0.9:
            content = odd_png(random)
        else:
            start = pick(random, STARTS)
            content = start + bytes(
                random.integers(0, 256, int(random.integers(0, 600)), dtype=np.uint8)
            )
        (folder / name).write_bytes(content)
        (folder / "b.png").write_bytes(content[: len(content) // 2])
        _read(folder, random)

    return run


def _read(folder: Path, random: Random) -> None:
    with open_source(folder) as source:
        image, other = source.names()
        item = Item(name="a", label=0, image=image, masks=(image,) if random.random() < 0.5 else ())
        for channels in (1, 3):
            try:
                decode(source, item, 16, channels)
            except ValueError as error:
                check_line(str(error))
                assert image in str(error)
        with refused():
            photographs.check(source, "x", (item,))
        with refused():
            one_of_each(source, {"a": [image, other]})
        with refused():
            survey(source, Found(images={"a": image}, labels={"a": "x"}), Intensity())
        intensity = (
            Intensity(low=0, high=255) if random.random() < 0.5 else Intensity(window="file")
        )
        source.set_decoder(opener(intensity))
        try:
            decode(source, item, 16, 3)
        except ValueError as error:
            check_line(str(error))
        with contextlib.suppress(ValueError):
            formats.sixteen_bits(source.read(image))


FUZZERS = {"images": image_fuzzer}
