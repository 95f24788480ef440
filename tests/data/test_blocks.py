"""Bytes of a store are compared with checksums as they are read."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from harness import sealed
from harness.data import blocks, contents, prepared, verify
from harness.data.blocks import StoredArray
from harness.data.prepared import open_store, read_manifest
from harness.errors import Damaged, UserError
from harness.train.pixels import StoredPixels
from tests.conftest import Harness
from tests.survival import fuzz_stores
from tests.survival.fuzz import check_line, random_of

NAME = fuzz_stores.NAME


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one store, which no test changes."""
    root = tmp_path_factory.mktemp("stores") / "data"
    fuzz_stores.make(root)
    return root


@pytest.fixture
def root(whole: Path, tmp_path: Path) -> Path:
    """A copy of it, which a test may damage."""
    return Path(shutil.copytree(whole, tmp_path / "data"))


def _flip(path: Path, at: int, bit: int = 0) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 1 << bit
    path.write_bytes(content)


def _write(folder: Path, values: np.ndarray) -> StoredArray:
    path = folder / "a.npy"
    np.save(path, values)
    described = blocks.describe(path, values.shape)[1]
    return StoredArray(path, described, [f"image {row}" for row in range(len(values))])


@pytest.mark.parametrize("stride", [1, 7, 2352, 12_288, 2**20 - 1, 2**20, 2**20 + 1])
def test_rows_are_those_of_numpy_whatever_the_block(tmp_path: Path, stride: int) -> None:
    random = np.random.default_rng(stride)
    count = max(3, min(1200, 3 * 2**20 // stride))
    values = random.integers(0, 256, (count, stride), dtype=np.uint8)
    array = _write(tmp_path, values)
    assert (array.shape, array.dtype, array.ndim, len(array)) == (values.shape, np.uint8, 2, count)
    keys = (
        random.integers(0, count, 20),
        np.arange(count)[::-1],
        np.sort(random.permutation(count)[: count // 2]),
        np.zeros(0, np.int64),
        random.random(count) < 0.3,
        slice(1, None, 2),
        [0, -1],
        1,
        -1,
        (1, slice(0, 1)),
        (slice(None), 0),
        (..., 0),
        None,
    )
    for _ in range(2):  # unchecked, then checked
        for key in keys:
            np.testing.assert_array_equal(array[key], values[key])
    np.testing.assert_array_equal(np.asarray(array), values)
    with pytest.raises(IndexError):
        array[count]


def test_each_block_is_hashed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(0).integers(0, 256, (5, 2**20), dtype=np.uint8)
    array = _write(tmp_path, values)
    hashed = []
    sha256 = blocks.hashlib.sha256
    monkeypatch.setattr(blocks.hashlib, "sha256", lambda view: hashed.append(1) or sha256(view))
    for rows in ([1, 1, 3], [3, 1], [0, 1, 2, 3, 4], [4, 4]):
        array[rows]
    assert len(hashed) == 5


def test_blocks_cover_every_byte_of_an_array(tmp_path: Path) -> None:
    """A flipped bit anywhere is found: in the header, at the borders of blocks, at the end."""
    values = np.random.default_rng(0).integers(0, 256, (2500, 1056), dtype=np.uint8)
    path = tmp_path / "a.npy"
    np.save(path, values)
    described = blocks.describe(path, values.shape)[1]
    assert (described.rows, described.count) == (992, 3)
    begin, block = len(blocks.header(values.shape)), 992 * 1056
    names = [str(row) for row in range(2500)]
    for at in (0, 9, begin - 1, begin, begin + block - 1, begin + block, begin + 2 * block, -1):
        _flip(path, at, 7)
        with pytest.raises(Damaged, match="a.npy has changed"):
            StoredArray(path, described, names)[:]
        _flip(path, at, 7)
    np.testing.assert_array_equal(StoredArray(path, described, names)[:], values)


def test_a_changed_image_is_named_and_others_are_read(root: Path) -> None:
    store = open_store(root, NAME)
    images = store.everything()
    begin = len(blocks.header(images.images.shape))
    _flip(root / NAME / "images.npy", begin + 5 * 32 * 32 * 3 + 7)
    with pytest.raises(Damaged) as error:
        open_store(root, NAME).everything().load()
    check_line(str(error.value))
    # All images of this small store are in one block.
    for text in ("images.npy has changed", "at 12 images", images.names[5], "data prepare busi"):
        assert text in str(error.value)
    ((path, what),) = verify.damage(root / NAME)
    assert path == root / NAME / "images.npy"
    assert images.names[5] in what
    assert open_store(root, NAME).everything().load_masks().any()


def test_one_image_of_many_is_named_alone(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 256, (9, 2**20), dtype=np.uint8)
    np.save(tmp_path / "a.npy", values)
    described = blocks.describe(tmp_path / "a.npy", values.shape)[1]
    _flip(tmp_path / "a.npy", len(blocks.header(values.shape)) + 4 * 2**20 + 99)
    array = StoredArray(tmp_path / "a.npy", described, [f"ISIC_{row}" for row in range(9)])
    np.testing.assert_array_equal(array[[0, 3, 5, 8]], values[[0, 3, 5, 8]])
    with pytest.raises(Damaged, match="prepared, at image ISIC_4"):
        array[[3, 4]]
    assert array.damage() == ["has changed since it was prepared, at image ISIC_4"]


def test_pixels_that_stay_in_the_file_are_checked_at_their_first_use(root: Path) -> None:
    pixels = StoredPixels(open_store(root, NAME).part("paper", "train"), 32, torch.device("cpu"))
    _flip(root / NAME / "images.npy", 4000)
    with pytest.raises(Damaged, match="images.npy has changed"):
        pixels[torch.tensor([0])]


def test_an_error_of_the_disk_is_one_line(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_store(root, NAME)

    def fail(*arguments: object) -> int:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "preadv", fail)
    with pytest.raises(UserError, match=r"Cannot read .*images.npy: Input/output error") as said:
        store.everything().load()
    assert not isinstance(said.value, Damaged)  # the disk may give it back later


def test_a_file_that_becomes_shorter_is_no_signal(root: Path) -> None:
    store = open_store(root, NAME)
    os.truncate(root / NAME / "images.npy", 2000)
    with pytest.raises(Damaged, match="has become shorter while it was read"):
        store.everything().load()


def test_a_store_that_is_replaced_while_it_is_open_stays_the_old_one(root: Path) -> None:
    store = open_store(root, NAME)
    before = open_store(root, NAME).everything().load()
    shutil.rmtree(root / NAME)
    (root / NAME).mkdir()
    np.testing.assert_array_equal(store.everything().load(), before)


def _changes() -> Iterator[tuple[str, object]]:
    yield from (("dataset", "btmd"), ("size", 33), ("fingerprint", "0" * 64), ("split", "clean"))
    yield from (("classes", ["benign", "normal", "malignant"]), ("counts", [4, 4, 5]))
    yield from (("parts", {}), ("remarks", ["x"]), ("archives", {}), ("blocks", "0" * 64))


@pytest.mark.parametrize(("field", "value"), list(_changes()))
def test_a_changed_field_of_a_manifest_is_found(
    root: Path, harness: Harness, field: str, value: object
) -> None:
    path = root / NAME / "manifest.json"
    content = json.loads(path.read_bytes())
    assert content[field] != value
    path.write_text(json.dumps({**content, field: value}, indent=1, ensure_ascii=False) + "\n")
    with pytest.raises(Damaged, match=r"manifest.json has changed.*harness data prepare busi"):
        read_manifest(root, NAME)
    for words in (("plan", "table1", "--datasets", NAME), ("data", "verify", NAME)):
        code, out, err = harness(*words, "--data", str(root))
        assert code == (1 if "verify" in words else 2)
        assert "manifest.json has changed" in err
        assert err.count("\n") == 1
        assert NAME not in out
    code, out, _ = harness("data", "list", "--data", str(root))
    assert code == 0
    assert "cannot be used" in out


@given(at=st.integers(0, 10**6), bit=st.integers(0, 7))
def test_any_bit_of_a_sealed_text_counts(at: int, bit: int) -> None:
    text = sealed.seal({"a": 1, "b": ["é", {"c": None}], "digest of": "x"})
    assert sealed.whole(text)
    assert json.loads(text)["b"] == ["é", {"c": None}]
    changed = bytearray(text)
    changed[at % len(text)] ^= 1 << bit
    assert not sealed.whole(bytes(changed))
    assert not sealed.whole(text[: at % len(text)])
    assert not sealed.whole(text + b" ")


def test_a_store_under_another_name_is_refused(root: Path) -> None:
    shutil.copytree(root / NAME, root / "btmd")
    with pytest.raises(Damaged, match="is the manifest of 'busi', not of 'btmd'"):
        open_store(root, "btmd")


@pytest.mark.parametrize("name", contents.NAMES)
@pytest.mark.parametrize(
    "replace",
    [
        Path.mkdir,
        os.mkfifo,
        lambda path: path.symlink_to("nowhere"),
        lambda path: path.symlink_to(path.name),
        lambda path: path.write_bytes(b""),
        lambda path: None,
    ],
    ids=["folder", "pipe", "link to nothing", "link to itself", "empty", "deleted"],
)
def test_a_file_that_is_none_is_one_line(
    root: Path, name: str, replace: Callable[[Path], object]
) -> None:
    (root / NAME / name).unlink()
    replace(root / NAME / name)
    with pytest.raises(Damaged) as error:
        fuzz_stores.numbers(root)
    assert str(root / NAME / name) in str(error.value)
    check_line(str(error.value))
    assert [path for path, _ in verify.damage(root / NAME)] == [root / NAME / name]
    assert verify.stores(root) == [root / NAME]


def test_damage_names_all_that_is_wrong(root: Path) -> None:
    assert verify.damage(root / NAME) == []
    for name in ("images.npy", "masks.npy", "twins.npy", "index.json"):
        _flip(root / NAME / name, 900)
    found = dict(verify.damage(root / NAME))
    assert {path.name for path in found} == {"images.npy", "masks.npy", "twins.npy", "index.json"}
    assert "row 0, row 1" in found[root / NAME / "images.npy"]
    assert verify.damage(root / "nothing") == [(root / "nothing" / "manifest.json", "is missing")]


def test_a_forged_manifest_does_not_hide_changed_images(root: Path) -> None:
    """What was changed with all digests above it is a new store: its fingerprint is another."""
    path = root / NAME / "manifest.json"
    content = json.loads(path.read_bytes())
    del content["digest"]
    path.write_bytes(
        sealed.seal({**content, "files": {**content["files"], "images.npy": "0" * 64}})
    )
    with pytest.raises(UserError, match="its fingerprint is not that of its files"):
        open_store(root, NAME)


def test_opening_a_store_reads_no_image(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(StoredArray, "rows", None)
    assert len(prepared.open_store(root, NAME).everything()) == 12


COMMANDS = (
    ("data", "list"),
    ("data", "verify", NAME),
    ("plan", "table1", "--datasets", NAME, "--profile", "laptop"),
    ("run", "table2", "--datasets", NAME, "--profile", "laptop"),
)


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_commands_end_in_one_line_on_any_damage(
    whole: Path, tmp_path: Path, harness: Harness, words: tuple[str, ...]
) -> None:
    sound = harness(*words, "--data", str(whole))
    refused = 0
    for number in range(20):
        root = tmp_path / str(number)
        shutil.copytree(whole, root)
        done = fuzz_stores.corrupt(random_of("commands", number), root / NAME)
        code, out, err = harness(*words, "--data", str(root))
        if words == ("data", "list"):
            assert code == 0
            refused += "cannot be used" in out
            continue
        if (code, err) == sound[::2]:  # what was damaged is not read
            continue
        refused += 1
        assert code == (1 if "verify" in words else 2), (done, err)
        assert err.count("\n") == 1, (done, err)
        check_line(err.strip())
        assert str(root / NAME) in err, (done, err)
    assert refused
