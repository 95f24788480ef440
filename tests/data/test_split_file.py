"""A user's own split: the file, what it may not hold, and the store that is divided by it."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import pytest

from harness.data.prepare import prepare
from harness.data.prepared import Manifest, open_store
from harness.errors import UserError
from tests import archives
from tests.archives import write_zip
from tests.conftest import Harness

TRAIN = [f"Tr-{name}_{c}{i}" for c, name in enumerate(("gl", "me", "no", "pi")) for i in (0, 1)]
TEST = [f"Te-{name}_{c}0" for c, name in enumerate(("gl", "me", "no", "pi"))]
WHOLE = [*((name, "train") for name in TRAIN), *((name, "test") for name in TEST)]


def _write(path: Path, rows: Sequence[Sequence[str]], header: str = "name,part") -> Path:
    stream = io.StringIO()
    csv.writer(stream).writerows(rows)
    path.write_text(f"{header}\n{stream.getvalue()}", encoding="utf-8")
    return path


def _prepare(folder: Path, rows: Sequence[Sequence[str]], header: str = "name,part") -> Manifest:
    dataset, members = archives.brain()
    source = write_zip(folder / "a.zip", members)
    split = _write(folder / "split.csv", rows, header)
    return prepare(dataset, source, root=folder / "data", size=16, split=split)


def test_a_split_file_becomes_the_default_split_of_the_store(tmp_path: Path) -> None:
    rows = [*WHOLE[:6], (TRAIN[6], "val"), (TRAIN[7], "unused"), *WHOLE[8:]]
    manifest = _prepare(tmp_path, rows)
    assert manifest.split == "given"
    assert list(manifest.parts) == ["paper", "clean", "given"]
    assert manifest.parts["given"] == {"train": 6, "val": 1, "test": 4}
    store = open_store(tmp_path / "data", "btmd")
    assert store.part("given", "train").names == tuple(sorted(TRAIN[:6]))
    assert store.part("given", "val").names == (TRAIN[6],)
    assert store.part("given", "test").names == tuple(sorted(TEST))


def test_the_fingerprint_holds_the_split(tmp_path: Path) -> None:
    moved = [(TRAIN[0], "test"), *WHOLE[1:]]
    one, two, again = (_prepare(tmp_path, rows).fingerprint for rows in (WHOLE, moved, WHOLE))
    assert one == again != two


def test_names_may_have_endings_and_folders_and_parts_other_cases(tmp_path: Path) -> None:
    rows = [
        (f"Training\\glioma\\{TRAIN[0]}.JPG", " Train "),
        (f"images/{TRAIN[1]}.png", "TRAIN"),
        (f"{TRAIN[2]}.tiff", "train"),
        *WHOLE[3:8],
        *((name, "eval", "a remark") for name in TEST),
    ]
    manifest = _prepare(tmp_path, rows, "\N{BYTE ORDER MARK}name,part,remark")
    assert manifest.parts["given"] == {"train": 8, "val": 4, "test": 4}


def test_without_a_validation_part_the_test_part_selects(tmp_path: Path) -> None:
    manifest = _prepare(tmp_path, WHOLE)
    store = open_store(tmp_path / "data", "btmd")
    assert store.part("given", "val").names == store.part("given", "test").names
    same = [(o.part, o.other, o.same) for o in manifest.overlaps if o.split == "given"]
    assert same == [("val", "train", 0), ("test", "train", 0), ("test", "val", 4)]


@pytest.mark.parametrize(
    ("rows", "header", "message"),
    [
        (WHOLE, "image,part", "has the columns image, part; its first line must be name,part"),
        ([], "name,part", "has no rows; its first line must be name,part"),
        (
            [*WHOLE[1:], (TRAIN[0], "training")],
            "name,part",
            rf"1 images with an unknown part: {TRAIN[0]} \(training\); allowed: train, val, test,"
            " eval, unused",
        ),
        ([*WHOLE[1:], (TRAIN[0], "")], "name,part", rf"unknown part: {TRAIN[0]} \(none\)"),
        ([*WHOLE, WHOLE[3]], "name,part", f"names 1 images more than once: {WHOLE[3][0]}"),
        (
            [*WHOLE, (f"{TRAIN[3]}.png", "val")],
            "name,part",
            f"names 1 images more than once: {TRAIN[3]}",
        ),
        (
            [*WHOLE, ("nobody", "train")],
            "name,part",
            "names 1 images that the data set does not have: nobody. Its names are like 'Te",
        ),
        (WHOLE[2:], "name,part", f"lacks 2 images of the data set: {TRAIN[0]}, {TRAIN[1]}"),
        (
            [(name, "val") for name in TRAIN] + WHOLE[8:],
            "name,part",
            r"has no image in train \(train 0, val 8, test 4\)",
        ),
        ([(name, "train") for name, _ in WHOLE], "name,part", "has no image in test"),
        ([*WHOLE[:-1], (TEST[3], "eval")], "name,part", "has both test and eval"),
    ],
)
def test_files_that_cannot_be_a_split_are_refused_in_one_line(
    tmp_path: Path, rows: Sequence[Sequence[str]], header: str, message: str
) -> None:
    with pytest.raises(UserError, match=message) as error:
        _prepare(tmp_path, rows, header)
    assert "\n" not in str(error.value)
    assert not list((tmp_path / "data").glob("*"))


def test_twenty_names_are_listed_and_the_others_counted(tmp_path: Path) -> None:
    strangers = [(f"x{i:03d}", "train") for i in range(50)]
    with pytest.raises(UserError, match="50 images that.*x019, and 30 more") as error:
        _prepare(tmp_path, [*WHOLE, *strangers])
    assert "x020" not in str(error.value)


@pytest.mark.parametrize("content", [None, b"name,part\n\xff\xfe,train\n", b'name,part\n"a\0'])
def test_files_that_cannot_be_read_are_named(tmp_path: Path, content: bytes | None) -> None:
    dataset, members = archives.brain()
    source, split = write_zip(tmp_path / "a.zip", members), tmp_path / "split.csv"
    if content is not None:
        split.write_bytes(content)
    with pytest.raises(UserError, match=r"--split-file .*split.csv"):
        prepare(dataset, source, root=tmp_path / "data", size=16, split=split)
    assert not (tmp_path / "data").exists()


def test_phantoms_have_no_split_file(harness: Harness) -> None:
    code, _, err = harness("data", "prepare", "phantom-mri", "--split-file", "s.csv")
    assert (code, "leave out --from, --masks and --split-file" in err) == (2, True)
