"""Layouts of BTMD, and the damage that may befall any archive."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image

from harness.data.archive import Given
from tests.archives import encoded, picture, write_folder, write_tar, write_zip, zipped
from tests.data.layouts import (
    Layout,
    Members,
    in_folder,
    in_zip,
    members_of,
    one_file,
    renamed,
)


def _changed(content: bytes, offset: int, value: int, marker: bytes = b"PK\x01\x02") -> bytes:
    """Return a zip with a byte of each entry of its directory changed."""
    result, position = bytearray(content), content.find(marker)
    while position >= 0:
        result[position + offset] = value
        position = content.find(marker, position + 4)
    return bytes(result)


def _cut(path: Path, left: int = -200) -> Path:
    """Cut the end of a file off."""
    path.write_bytes(path.read_bytes()[:left])
    return path


def _gzip(path: Path) -> Path:
    """Write a table packed with gzip."""
    path.write_bytes(gzip.compress(b"image,label\na.jpg,glioma\n"))
    return path


def _brain_zip() -> bytes:
    return zipped(members_of("btmd"))


def _rubbish(members: Members) -> Members:
    extra = {
        "__MACOSX/Training/glioma/._Tr-gl_00.jpg": b"x",
        "Training/__MACOSX/glioma/a.jpg": b"x",
        "Training/glioma/._Tr-gl_00.jpg": b"x",
        "Training/glioma/.DS_Store": b"x",
        "Training/glioma/Thumbs.db": b"x",
        "Training/@eaDir/glioma/a.jpg": b"x",
        "desktop.ini": b"x",
        ".ipynb_checkpoints/Training/glioma/b.jpg": b"x",
    }
    return members | extra


def _one_as(content: bytes) -> Callable[[Members], Members]:
    """Return a change that puts other contents into one image of BTMD."""
    return lambda members: {**members, "Training/glioma/Tr-gl_00.jpg": content}


def _all_as(ending: str, content: bytes) -> Callable[[Members], Members]:
    """Return a change that makes all images files of another format."""
    return lambda members: {
        str(PurePosixPath(name).with_suffix(ending)): content for name in members
    }


def _twelve_bits(members: Members) -> Members:
    """Return BTMD as 16-bit PNGs whose values have 12 bits."""
    changed = {}
    for number, name in enumerate(members):
        values = np.random.default_rng(number).integers(0, 4096, (30, 40)).astype(np.uint16)
        changed[str(PurePosixPath(name).with_suffix(".png"))] = encoded(Image.fromarray(values))
    return changed


def _version_2(folder: Path) -> Path:
    """Write 4 x 1400 + 4 x 400 tiny images."""
    content = encoded(picture(size=(8, 8)), ".jpg")
    members = {
        f"{part}/{name}/{part[:2]}-{name[:2]}_{i}.jpg": content
        for part, each in (("Training", 1400), ("Testing", 400))
        for name in ("glioma", "meningioma", "notumor", "pituitary")
        for i in range(each)
    }
    return write_zip(folder / "archive.zip", members)


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n"
PAGE = b"<!DOCTYPE html>\n<title>Kaggle: log in</title>"
DICOM = bytes(128) + b"DICM" + bytes(20)

BTMD = [
    Layout("btmd", "zip with Training/ and Testing/ (Kaggle, version 1)", in_zip("btmd", dict)),
    Layout("btmd", "the same unpacked into a folder", in_folder("btmd", dict)),
    Layout(
        "btmd",
        "train/ and test/, no_tumor/",
        in_zip(
            "btmd",
            lambda m: renamed(
                m, ("Training", "train"), ("Testing", "test"), ("/notumor/", "/no_tumor/")
            ),
        ),
    ),
    Layout(
        "btmd",
        'glioma_tumor/, ..., "no tumor"/',
        in_zip(
            "btmd",
            lambda m: renamed(
                m,
                ("/notumor/", "/no tumor/"),
                ("/glioma/", "/glioma_tumor/"),
                ("/meningioma/", "/meningioma_tumor/"),
                ("/pituitary/", "/pituitary_tumor/"),
            ),
        ),
    ),
    Layout(
        "btmd",
        "folders above, between and below those of part and class",
        in_folder(
            "btmd",
            lambda m: renamed(
                m,
                ("Training/", "data/brain/Training/all/"),
                ("Testing/", "data/brain/Testing/all/"),
                ("/glioma/", "/glioma/images/"),
            ),
        ),
    ),
    Layout(
        "btmd",
        "names of folders and endings in capitals",
        in_zip(
            "btmd",
            lambda m: renamed(
                m, ("Training", "TRAINING"), ("glioma/", "Glioma/"), (".jpg", ".JPG")
            ),
        ),
    ),
    Layout(
        "btmd",
        "tar.gz, as `tar czf` writes it with ./",
        lambda folder: write_tar(
            folder / "btmd.tar.gz", {f"./{n}": c for n, c in members_of("btmd").items()}
        ),
    ),
    Layout("btmd", "tar", lambda folder: write_tar(folder / "btmd.tar", members_of("btmd"))),
    Layout("btmd", "tar.xz", lambda folder: write_tar(folder / "btmd.tar.xz", members_of("btmd"))),
    Layout(
        "btmd",
        "zip with back-slashes (some programs for Windows)",
        in_zip("btmd", lambda m: renamed(m, ("/", "\\"))),
    ),
    Layout(
        "btmd",
        "`__MACOSX`, `._` files, `.DS_Store`, Thumbs.db and thumbnails between the images",
        in_zip("btmd", _rubbish),
    ),
    Layout(
        "btmd",
        "zip inside a zip",
        one_file("outer.zip", zipped({"inner.zip": _brain_zip()})),
    ),
    Layout(
        "btmd",
        "unpacked folder with the zip still beside it",
        in_folder("btmd", lambda m: m | {"archive.zip": _brain_zip()}),
    ),
    Layout(
        "btmd",
        "a copy of some images in a further folder",
        in_folder("btmd", lambda m: m | renamed(m, ("Training/", "copy/Training/"))),
    ),
    Layout(
        "btmd",
        "a copy of an image that was stored again without loss",
        in_folder(
            "btmd",
            lambda m: m | {"Training/glioma/Tr-gl_00.bmp": encoded(picture(99), ".bmp")},
        ),
    ),
    Layout(
        "btmd",
        "another version of some images in a further folder",
        in_folder(
            "btmd",
            lambda m: m | {"resized/Training/glioma/Tr-gl_00.jpg": encoded(picture(7), ".jpg")},
        ),
        "names stand for two different files",
    ),
    Layout(
        "btmd",
        "12-bit values in 16-bit PNGs",
        in_zip("btmd", _twelve_bits),
        remark="4095 is taken as white in all of them",
        same=False,
    ),
    Layout(
        "btmd",
        "masks given by --masks, which this data set has not",
        lambda folder: Given(
            (write_zip(folder / "a.zip", members_of("btmd")),),
            write_zip(folder / "m.zip", {"a_mask.png": encoded(picture())}),
        ),
        "--masks holds no masks of its images (--masks/masks/a_mask.png); leave it out",
    ),
    Layout(
        "btmd",
        "version 2 (7200 images)",
        _version_2,
        "is version 2 of this data set (7200 images); the paper used version 1",
    ),
    Layout(
        "btmd",
        "folders of classes without Training/ and Testing/",
        in_folder("btmd", lambda m: renamed(m, ("Training/", ""), ("Testing/", ""))),
        "has no Training/ and Testing/ folders of glioma, meningioma, notumor, pituitary",
    ),
    Layout(
        "btmd",
        "some images missing",
        in_zip("btmd", lambda m: {n: c for n, c in m.items() if "/Te-gl" not in n}),
        "images instead of 12 (glioma: expected 3, found 2)",
    ),
    Layout(
        "btmd",
        "7z archive",
        one_file("archive.7z", b"7z\xbc\xaf\x27\x1c" + bytes(40)),
        "is a 7z archive; unpack it and give the folder (7z x)",
    ),
    Layout(
        "btmd",
        "7z archive in a folder",
        lambda folder: write_folder(folder, {"a.7z": b"7z\xbc\xaf\x27\x1c" + bytes(40)}),
        "is a 7z archive; unpack it and give the folder (7z x)",
    ),
    Layout(
        "btmd",
        "rar archive",
        one_file("archive.rar", b"Rar!\x1a\x07\x01\0" + bytes(40)),
        "is a rar archive; unpack it and give the folder (unrar x)",
    ),
    Layout(
        "btmd",
        "zip packed with Deflate64 (Windows, over 2 GB)",
        one_file("archive.zip", _changed(_brain_zip(), 10, 9)),
        "which is not read here; unpack it (7z x) and give the folder",
    ),
    Layout(
        "btmd",
        "encrypted zip",
        one_file("archive.zip", _changed(_brain_zip(), 8, 1)),
        "unpack it with its password and give the folder",
    ),
    Layout(
        "btmd",
        "zip whose download ended early",
        one_file("archive.zip", _brain_zip()[:-500]),
        "is cut short or damaged: the directory at the end of a zip archive is missing;"
        " download it again",
    ),
    Layout(
        "btmd",
        "tar.gz whose download ended early",
        lambda folder: _cut(write_tar(folder / "btmd.tgz", members_of("btmd"))),
        "is damaged or cut short",
    ),
    Layout(
        "btmd",
        "tar whose download ended early",
        lambda folder: _cut(write_tar(folder / "btmd.tar", members_of("btmd")), 9000),
        "is damaged or cut short",
    ),
    Layout(
        "btmd",
        "gzip of something else than a tar archive",
        lambda folder: _gzip(folder / "labels.csv.gz"),
        "is a gzip file without a tar archive inside; unpack it and give the folder",
    ),
    Layout(
        "btmd",
        "login page saved as .zip",
        one_file("archive.zip", PAGE),
        "is a web page, such as a login or error page that was saved; download it again while"
        " logged in",
    ),
    Layout(
        "btmd",
        "a server's error saved as .zip",
        one_file("archive.zip", b'{"code":403,"message":"Permission denied"}'),
        "is a JSON text, such as a server's error that was saved; download it again",
    ),
    Layout(
        "btmd",
        "Git LFS pointer in place of the zip",
        one_file("archive.zip", POINTER),
        "is a Git LFS pointer, not the file itself; run `git lfs pull`",
    ),
    Layout(
        "btmd", "empty file", one_file("archive.zip", b""), "is an empty file; download it again"
    ),
    Layout(
        "btmd",
        "file of zero bytes",
        one_file("archive.zip", bytes(10_000)),
        "is only zero bytes, as interrupted downloads leave; download it again",
    ),
    Layout(
        "btmd",
        "one image",
        one_file("a.jpg", encoded(picture(), ".jpg")),
        "is a JPEG image; give the folder or archive that holds all images",
    ),
    Layout(
        "btmd",
        "a table",
        one_file("labels.csv", b"image,label\na.jpg,glioma\n"),
        "is a text; give the folder or archive of images",
    ),
    Layout(
        "btmd",
        "empty folder",
        lambda folder: write_folder(folder, {"empty/.DS_Store": b"x"}) / "empty",
        "has no files; give the archive or folder of the images",
    ),
    Layout(
        "btmd",
        "HEIC photographs",
        in_folder("btmd", _all_as(".heic", b"\0\0\0\x18ftypheic" + bytes(40))),
        "a HEIC photograph; convert it to PNG",
    ),
    Layout(
        "btmd",
        "DICOM files",
        in_folder("btmd", _all_as(".dcm", DICOM)),
        "a DICOM file; official archives hold PNG or JPEG",
    ),
    Layout(
        "btmd",
        "Git LFS pointers in place of images",
        in_folder("btmd", _all_as(".jpg", POINTER)),
        "a Git LFS pointer, not the file itself; run `git lfs pull`",
    ),
    Layout(
        "btmd",
        "a web page saved as .jpg",
        in_zip("btmd", _one_as(PAGE)),
        "a web page, such as a login or error page that was saved; download it again while"
        " logged in",
    ),
    Layout(
        "btmd",
        "PostScript named .jpg",
        in_zip("btmd", _one_as(b"%!PS-Adobe-3.0 EPSF-3.0\n")),
        "a PostScript file; give the images themselves",
    ),
    Layout(
        "btmd",
        "an image whose download ended early",
        in_zip("btmd", _one_as(encoded(picture(3), ".jpg")[:400])),
        "damaged or cut short",
    ),
]
