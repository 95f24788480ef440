"""Checksums of the archives that a data set was read from, compared with known ones.

Two users can compare what they have by the SHA-256, whether or not anybody publishes a sum.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import BinaryIO, NamedTuple

BLOCK = 2**20


class Known(NamedTuple):
    """A known checksum.

    Attributes:
        algorithm: "md5" or "sha256".
        digest: in hexadecimal digits.
        by: who states it.
        publisher: whether that is who publishes the file.
    """

    algorithm: str
    digest: str
    by: str
    publisher: bool


def _dataverse(digest: str) -> Known:
    return Known("md5", digest, "Harvard Dataverse", publisher=True)


KNOWN: Mapping[str, Known] = {
    # Dataset version 4.0 of doi:10.7910/DVN/DBW86T, which states the MD5 of each file.
    "HAM10000_images_part_1.zip": _dataverse("4639bfa73ab251610530a97c898e6e46"),
    "HAM10000_images_part_2.zip": _dataverse("da43d6cc50f6613013be07e8986b384b"),
    "HAM10000_segmentations_lesion_tschandl.zip": _dataverse("6e8d252e09cfdb0189199f15985a5b84"),
    # Cairo University states none; this one is in torch-em's loader of the data set.
    "Dataset_BUSI.zip": Known(
        "sha256",
        "b2ce09f6063a31a73f628b6a6ee1245187cbaec225e93e563735691d68654de7",
        "the library torch-em",
        publisher=False,
    ),
}
"""Known checksums by file name. Kaggle, ISIC and ADCIS state none."""


def describe(archives: Mapping[str, BinaryIO]) -> tuple[dict[str, str], list[str]]:
    """Return the SHA-256 of each archive, with what is known of it, and what does not agree.

    Args:
        archives: opened archives by name; they are read from their start.

    Returns:
        A sentence per archive, and a remark per archive that has the name of a published file and
        is not that file: it may hold other images.
    """
    sentences: dict[str, str] = {}
    remarks = []
    for name, stream in archives.items():
        file = PurePosixPath(name).name
        known = KNOWN.get(file)
        digests = _digests(stream, {"sha256", *([known.algorithm] if known else [])})
        sentences[name] = f"SHA-256 {digests['sha256']}"
        if known is None:
            continue
        equal = digests[known.algorithm] == known.digest
        title = {"md5": "MD5", "sha256": "SHA-256"}[known.algorithm]
        sentences[name] += (
            f", the file of which {known.by} states the {title}"
            if equal
            else f", not the file of which {known.by} states the {title} {known.digest}"
        )
        if known.publisher and not equal:
            remarks.append(
                f"{file} is not the file that {known.by} publishes: its {title} is"
                f" {digests[known.algorithm]}, the published one's {known.digest}."
            )
    return sentences, remarks


def _digests(stream: BinaryIO, algorithms: set[str]) -> dict[str, str]:
    """Return a stream's digests by algorithm."""
    hashes = {name: hashlib.new(name, usedforsecurity=False) for name in algorithms}
    stream.seek(0)
    while block := stream.read(BLOCK):
        for digest in hashes.values():
            digest.update(block)
    return {name: digest.hexdigest() for name, digest in hashes.items()}
