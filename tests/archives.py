"""Small archives in the official layouts, with every format that the real ones hold."""

from __future__ import annotations

import io
import tarfile
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from harness.data.sets import btmd, busi, ham10000, messidor2
from harness.spec.dataset import Dataset

FORMATS = {
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".JPG": "JPEG",
    ".png": "PNG",
    ".tif": "TIFF",
    ".bmp": "BMP",
    ".webp": "WEBP",
}


def picture(seed: int = 0, *, size: tuple[int, int] = (40, 30), mode: str = "RGB") -> Image.Image:
    """Return a picture of noise, (width, height)."""
    random = np.random.default_rng(seed)
    pixels = random.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(pixels).convert(mode)


def encoded(image: Image.Image, ending: str = ".png") -> bytes:
    """Return a file's contents in the format of its ending."""
    stream = io.BytesIO()
    image.save(stream, FORMATS[ending])
    return stream.getvalue()


def write_zip(path: Path, members: Mapping[str, bytes]) -> Path:
    """Write a zip of the members and return its path."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def write_tar(path: Path, members: Mapping[str, bytes]) -> Path:
    """Write a tar archive, compressed as its ending says, and return its path."""
    packing = {"gz": "w:gz", "tgz": "w:gz", "bz2": "w:bz2", "xz": "w:xz"}
    mode: Any = packing.get(path.name.rpartition(".")[2], "w")
    with tarfile.open(path, mode) as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def zipped(members: Mapping[str, bytes]) -> bytes:
    """Return the contents of a zip of the members."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return stream.getvalue()


def write_parts(whole: Path, content: bytes, count: int) -> list[Path]:
    """Write a file's contents in parts of equal length, NAME.001, NAME.002, ..."""
    length = -(-len(content) // count)
    parts = [whole.with_name(f"{whole.name}.{i + 1:03}") for i in range(count)]
    for i, part in enumerate(parts):
        part.write_bytes(content[i * length : (i + 1) * length])
    return parts


def write_folder(path: Path, members: Mapping[str, bytes]) -> Path:
    """Write the members as files below a folder and return it."""
    for name, content in members.items():
        file = path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    return path


def brain() -> tuple[Dataset, dict[str, bytes]]:
    """Return a BTMD of 8 + 4 images; every format and mode occurs, one extension lies."""
    endings = list(FORMATS)
    modes = ["RGB", "L", "RGBA", "P"]
    members = {}
    for folder, each in (("Training", 2), ("Testing", 1)):
        for c, name in enumerate(btmd.CLASSES):
            for i in range(each):
                number = len(members)
                mode = modes[number % 4] if endings[number % 7] in (".png", ".tif") else "RGB"
                ending = endings[number % 7]
                stem = f"{folder[:2]}-{name[:2]}_{c}{i}"
                content = encoded(picture(number, mode=mode), ending)
                members[f"{folder}/{name}/{stem}{ending}"] = content
    lying = encoded(picture(99), ".png")
    members["Training/glioma/Tr-gl_00.jpg"] = lying
    sizes = {"train": 8, "eval": 4}
    return replace(btmd.DATASET, counts=(3, 3, 3, 3), sizes=sizes), members


def skin() -> tuple[Dataset, dict[str, bytes]]:
    """Return a HAM10000 of 28 images of 14 lesions."""
    lines, members = ["lesion_id,image_id,dx,dx_type"], {}
    for c, name in enumerate(ham10000.CLASSES):
        for i in range(4):
            image = f"ISIC_{c:03d}{i}"
            lines.append(f"HAM_{c}{i // 2},{image},{name},histo")
            part = f"HAM10000_images_part_{1 + i % 2}"
            members[f"{part}/{image}.jpg"] = encoded(picture(10 * c + i), ".jpg")
    members["HAM10000_metadata.csv"] = "\n".join(lines).encode()
    sizes = {"train": 21, "eval": 7}
    return replace(ham10000.DATASET, counts=(4,) * 7, sizes=sizes), members


def breast() -> tuple[Dataset, dict[str, bytes]]:
    """Return a BUSI of 12 images; the second benign one has two masks."""
    members = {}
    for c, name in enumerate(busi.CLASSES):
        for i in range(1, 5):
            stem = f"Dataset_BUSI_with_GT/{name}/{name} ({i})"
            members[f"{stem}.png"] = encoded(picture(10 * c + i))
            mask = np.zeros((30, 40), np.uint8)
            if name != "normal":
                mask[:15, :20] = 255
            members[f"{stem}_mask.png"] = encoded(Image.fromarray(mask))
    second = np.zeros((30, 40), np.uint8)
    second[15:, 20:] = 255
    members["Dataset_BUSI_with_GT/benign/benign (2)_mask_1.png"] = encoded(Image.fromarray(second))
    sizes = {"train": 9, "eval": 3}
    return replace(busi.DATASET, counts=(4, 4, 4), sizes=sizes), members


def fundus() -> tuple[Dataset, dict[str, bytes]]:
    """Return a Messidor-2 of 10 gradable images and one that is not; cases disagree."""
    lines = ["id_code,diagnosis,adjudicated_dme,adjudicated_gradable"]
    members = {}
    for grade in range(5):
        for i in range(2):
            ending = ".JPG" if i else ".png"
            members[f"IMAGES/IM{grade}{i}{ending}"] = encoded(picture(10 * grade + i), ending)
            lines.append(f"im{grade}{i}.jpg,{grade},0,1")
    lines.append("im99.jpg,,,0")
    members["messidor_data.csv"] = "\n".join(lines).encode()
    sizes = {"train": 5, "eval": 5}
    return replace(messidor2.DATASET, counts=(2,) * 5, sizes=sizes), members


OFFICIAL = {"btmd": brain, "ham10000": skin, "busi": breast, "messidor2": fundus}
