"""Preparing stores: formats, counts, masks, broken files, and that nothing is half written."""

from __future__ import annotations

import dataclasses
import errno
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from harness.data import decode as decoding
from harness.data import formats, writing
from harness.data import prepare as preparing
from harness.data.prepare import prepare
from harness.data.prepared import open_store
from harness.data.sets import phantom
from harness.errors import Damaged, UserError
from harness.spec.dataset import Dataset
from tests import archives
from tests.archives import OFFICIAL, encoded, picture, write_folder, write_zip


@pytest.mark.parametrize("name", OFFICIAL)
def test_zip_and_folder_give_the_same_store(tmp_path: Path, name: str) -> None:
    dataset, members = OFFICIAL[name]()
    zipped = write_zip(tmp_path / "a.zip", members)
    folder = write_folder(tmp_path / "folder", members)
    nested = write_folder(tmp_path / "nested" / "archive", members).parent
    first = prepare(dataset, zipped, root=tmp_path / "1", size=32)
    second = prepare(dataset, folder, root=tmp_path / "2", size=32, workers=1)
    third = prepare(dataset, nested, root=tmp_path / "3", size=32)
    assert first.fingerprint == second.fingerprint == third.fingerprint
    assert first.parts["paper"] == dataset.sizes
    assert sum(first.parts["clean"].values()) == sum(dataset.counts)
    assert prepare(dataset, zipped, root=tmp_path / "4", size=16).fingerprint != first.fingerprint


def test_every_format_and_mode_is_decoded_by_its_contents(tmp_path: Path) -> None:
    dataset, members = archives.brain()
    prepare(dataset, write_zip(tmp_path / "a.zip", members), root=tmp_path, size=32)
    store = open_store(tmp_path, "btmd").everything()
    assert store.images.shape == (12, 32, 32, 1)
    assert store.sizes.tolist() == [[30, 40]] * 12
    row = store.names.index("Tr-gl_00")  # a PNG that is named .jpg
    # 40 x 30 pixels: the width is shrunk, the height stays as it is.
    expected = picture(99).convert("L").resize((32, 30), Image.Resampling.LANCZOS)
    np.testing.assert_array_equal(store.images[row, :30, :, 0], np.asarray(expected))
    assert not store.images[row, 30:].any()


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "1", "LA", "CMYK", "I;16"])
def test_modes_become_three_channels(mode: str) -> None:
    if mode == "I;16":
        wide = np.linspace(0, 65535, 30 * 40).reshape(30, 40).astype(np.uint16)
        image = Image.fromarray(wide)
        ending = ".png"
    else:
        image = picture(mode="L").convert("1") if mode == "1" else picture(mode=mode)
        ending = ".tif" if mode == "CMYK" else ".png"
    found = _decoded(encoded(image, ending))
    assert found.image.shape == (16, 16, 3)
    assert found.image.std() > 10  # neither black nor saturated
    assert found.size == (30, 40)


def test_transparent_palettes_and_exif_turns_are_read_as_they_are() -> None:
    palette = picture(mode="P")
    palette.info["transparency"] = 0
    assert _decoded(encoded(palette)).image.shape == (16, 16, 3)


def _decoded(content: bytes) -> decoding.Decoded:
    class One:
        white = 65535
        decoder = None

        def read(self, name: str) -> bytes:
            return content

    from harness.spec.dataset import Item

    item = Item(name="a", label=0, image="a.png")
    return decoding.decode(One(), item, 16, 3)  # type: ignore[arg-type]


def test_masks_are_merged(tmp_path: Path) -> None:
    dataset, members = archives.breast()
    prepare(dataset, write_zip(tmp_path / "a.zip", members), root=tmp_path, size=32)
    store = open_store(tmp_path, "busi").everything()
    masks = dict(zip(store.names, store.load_masks(), strict=True))
    quarter = np.zeros((32, 32), np.uint8)
    quarter[:15, :16] = 1  # 40 x 30 pixels, of which the height stays as it is
    both = quarter.copy()
    both[15:30, 16:] = 1
    np.testing.assert_array_equal(masks["benign (1)"], quarter)
    np.testing.assert_array_equal(masks["benign (2)"], both)
    np.testing.assert_array_equal(masks["normal (1)"], np.zeros((32, 32)))


def test_broken_files_are_all_named_and_nothing_is_written(tmp_path: Path) -> None:
    dataset, members = archives.brain()
    names = sorted(members)
    good = encoded(picture(5), ".jpg")
    broken = {
        names[0]: b"",
        names[2]: good[: len(good) // 2],
        names[4]: b"this is no image",
        names[6]: encoded(picture(6))[:-30],
    }
    for source in (
        write_zip(tmp_path / "a.zip", members | broken),
        write_folder(tmp_path / "folder", members | broken),
    ):
        with pytest.raises(UserError) as error:
            prepare(dataset, source, root=tmp_path / "data", size=32)
        assert "4 files cannot be used" in str(error.value)
        assert "nothing was written" in str(error.value)
        for name in broken:
            assert name in str(error.value)
        assert list((tmp_path / "data").iterdir()) == []


def test_a_failed_preparation_leaves_the_old_store(tmp_path: Path) -> None:
    dataset, members = archives.brain()
    path = write_zip(tmp_path / "a.zip", members)
    manifest = prepare(dataset, path, root=tmp_path / "data", size=32)
    write_zip(path, members | {sorted(members)[0]: b""})
    with pytest.raises(UserError, match="1 files cannot be used"):
        prepare(dataset, path, root=tmp_path / "data", size=32)
    assert open_store(tmp_path / "data", "btmd").manifest == manifest


def test_pictures_that_inflate_without_end_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset, members = archives.brain()
    monkeypatch.setattr(formats, "PIXEL_LIMIT", 1000)
    with pytest.raises(UserError, match=r"40 x 30 pixels: a decompression bomb"):
        prepare(dataset, write_zip(tmp_path / "a.zip", members), root=tmp_path, size=32)


@pytest.mark.parametrize("name", OFFICIAL)
def test_other_counts_are_refused_with_both_counts(tmp_path: Path, name: str) -> None:
    dataset, members = OFFICIAL[name]()
    wanted = dataclasses.replace(dataset, counts=tuple(c + 1 for c in dataset.counts))
    with pytest.raises(UserError) as error:
        prepare(wanted, write_zip(tmp_path / "a.zip", members), root=tmp_path / "data")
    first, count = dataset.classes[0], dataset.counts[0]
    assert f"{first}: expected {count + 1}, found {count}" in str(error.value)
    assert "official archive" in str(error.value)
    assert not (tmp_path / "data").exists()


def test_a_clean_split_without_images_to_report_on_is_refused(tmp_path: Path) -> None:
    """One lesion in all photographs is one group, which cannot be divided."""
    dataset, members = archives.skin()
    table = members["HAM10000_metadata.csv"].decode()
    lines = table.splitlines()
    one = [lines[0], *(f"HAM_0,{line.partition(',')[2]}" for line in lines[1:])]
    members["HAM10000_metadata.csv"] = "\n".join(one).encode()
    path = write_zip(tmp_path / "a.zip", members)
    assert "clean" not in prepare(dataset, path, root=tmp_path / "data", size=16).parts
    many = dataclasses.replace(dataset, counts=(40,) * 7)
    manifest = open_store(tmp_path / "data", "ham10000").manifest
    with pytest.raises(UserError, match="there is no clean split, as its 280 images"):
        preparing.check_parts(many, manifest)


def test_split_sizes_other_than_the_papers_are_refused(tmp_path: Path) -> None:
    dataset, members = archives.brain()
    wanted = dataclasses.replace(dataset, sizes={"train": 9, "eval": 3})
    with pytest.raises(UserError, match=r"'train': 8.*the paper into .*'train': 9"):
        prepare(wanted, write_zip(tmp_path / "a.zip", members), root=tmp_path)


def _without(members: dict[str, bytes], part: str) -> dict[str, bytes]:
    return {name: content for name, content in members.items() if part not in name}


@pytest.mark.parametrize(
    ("name", "part", "message"),
    [
        ("btmd", "/", "has no Training/ and Testing/ folders"),
        ("ham10000", "metadata", "has no HAM10000_metadata.csv"),
        ("ham10000", "ISIC_0011", "1 images of the table that are missing: ISIC_0011"),
        ("busi", "/", "has no folders benign, malignant, normal"),
        ("busi", "normal (3)_mask", r"1 images without a mask: .*/normal \(3\).png"),
        ("busi", "normal (3).png", r"1 masks without an image: .*normal \(3\)_mask.png"),
        ("messidor2", "messidor_data", "has no table with columns id_code or image_id"),
        ("messidor2", "IM31", "1 graded images are missing: im31.jpg"),
    ],
)
def test_incomplete_archives_are_explained(
    tmp_path: Path, name: str, part: str, message: str
) -> None:
    dataset, members = OFFICIAL[name]()
    kept = _without(members, part) or {"readme.txt": b"hello"}
    with pytest.raises(UserError, match=message):
        prepare(dataset, write_zip(tmp_path / "a.zip", kept), root=tmp_path / "data")


@pytest.mark.parametrize(
    ("name", "member", "content", "message"),
    [
        ("ham10000", "HAM10000_metadata.csv", b"a,b\n1,2\n", "needed: .*'dx'"),
        ("ham10000", "HAM10000_metadata.csv", b"\xff\xfe\x00bad", "is not a table"),
        (
            "ham10000",
            "HAM10000_metadata.csv",
            b"lesion_id,image_id,dx\nH,ISIC_0000,wart\n",
            "1 unknown classes: wart",
        ),
        (
            "messidor2",
            "messidor_data.csv",
            b"id_code,diagnosis,adjudicated_gradable\nim00.jpg,seven,1\n",
            "im00.jpg.*'seven'.*0 to 4",
        ),
        (
            "messidor2",
            "messidor_data.csv",
            b"id_code,diagnosis,adjudicated_gradable\nim00.jpg,9,1\n",
            "im00.jpg.*'9'.*0 to 4",
        ),
        (
            "busi",
            "Dataset_BUSI_with_GT/benign/normal (9).png",
            b"x",
            r"1 images or masks lie in another class's folder.*benign/normal \(9\).png",
        ),
        (
            "busi",
            "Dataset_BUSI_with_GT/malignant/benign (1)_mask.png",
            b"x",
            r"lie in another class's folder.*malignant/benign \(1\)_mask.png",
        ),
    ],
)
def test_tables_and_folders_that_do_not_fit_are_explained(
    tmp_path: Path, name: str, member: str, content: bytes, message: str
) -> None:
    dataset, members = OFFICIAL[name]()
    with pytest.raises(UserError, match=message):
        prepare(dataset, write_zip(tmp_path / "a.zip", {**members, member: content}), root=tmp_path)


def test_masks_of_another_size_are_named(tmp_path: Path) -> None:
    dataset, members = archives.breast()
    name = "Dataset_BUSI_with_GT/benign/benign (1)_mask.png"
    members[name] = encoded(picture(1, size=(20, 30), mode="L"))
    with pytest.raises(UserError, match=r"benign \(1\)_mask.png: the mask has 20 x 30 pixels"):
        prepare(dataset, write_zip(tmp_path / "a.zip", members), root=tmp_path)


def _mask(*values: int) -> bytes:
    """Return a mask of 30 x 40 pixels that holds the values in turn."""
    pixels = np.resize(np.asarray(values, np.uint8), (30, 40))
    return encoded(Image.fromarray(pixels))


def _breast_with(tmp_path: Path, **masks: bytes) -> tuple[Dataset, Path]:
    dataset, members = archives.breast()
    for name, content in masks.items():
        kind, number = name.split("_")
        members[f"Dataset_BUSI_with_GT/{kind}/{kind} ({number})_mask.png"] = content
    return dataset, write_zip(tmp_path / "a.zip", members)


def test_masks_that_are_not_binary_are_all_named(tmp_path: Path) -> None:
    dataset, path = _breast_with(
        tmp_path, benign_1=_mask(0, 128, 255), malignant_3=_mask(*range(9)), benign_3=_mask(0, 1)
    )
    with pytest.raises(UserError) as error:
        prepare(dataset, path, root=tmp_path / "data", size=32)
    text = str(error.value)
    assert "2 files cannot be used" in text
    assert "benign (1)_mask.png: the mask is not binary, it holds 0, 128, 255; allowed: 0" in text
    assert "malignant (3)_mask.png: the mask is not binary, it holds 0, 1, 2, 3, 4, ..." in text
    assert list((tmp_path / "data").iterdir()) == []


def test_masks_of_zeros_and_ones_are_taken(tmp_path: Path) -> None:
    dataset, path = _breast_with(tmp_path, benign_1=_mask(1), malignant_1=_mask(0, 1))
    prepare(dataset, path, root=tmp_path / "data", size=32)
    store = open_store(tmp_path / "data", "busi").everything()
    assert store.load_masks()[store.names.index("benign (1)"), :30].all()


def test_lesions_without_a_pixel_and_healthy_images_with_one_are_named(tmp_path: Path) -> None:
    empty = {f"{kind}_{i}": _mask(0) for kind in ("benign", "malignant") for i in range(1, 5)}
    dataset, path = _breast_with(tmp_path, **empty, normal_2=_mask(0, 255))
    with pytest.raises(UserError) as error:
        prepare(dataset, path, root=tmp_path / "data", size=32)
    text = str(error.value)
    # The second mask of benign (2) is not empty.
    assert "8 files cannot be used" in text
    assert "benign (1)_mask.png, " in text
    assert "malignant (4)_mask.png: no pixel is set, but every image of its class has a" in text
    assert "normal (2)_mask.png: pixels are set, but no image of its class has a lesion" in text
    assert "benign (2)" not in text
    assert list((tmp_path / "data").iterdir()) == []


def test_a_full_disk_is_one_line_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset, members = archives.brain()

    def full(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(writing.os, "posix_fallocate", full)
    with pytest.raises(UserError, match=r"No space left on device.*Free space"):
        prepare(dataset, write_zip(tmp_path / "a.zip", members), root=tmp_path / "data")
    assert list((tmp_path / "data").iterdir()) == []


def test_sizes_below_the_least_are_refused(tmp_path: Path) -> None:
    dataset, members = archives.brain()
    with pytest.raises(UserError, match="--size is 3; allowed: 16 to 4096"):
        prepare(dataset, write_zip(tmp_path / "a.zip", members), root=tmp_path, size=3)


def test_progress_reaches_the_end(tmp_path: Path) -> None:
    dataset, members = archives.brain()
    seen: list[tuple[int, int]] = []
    prepare(
        dataset,
        write_zip(tmp_path / "a.zip", members),
        root=tmp_path,
        size=32,
        advance=lambda done, total: seen.append((done, total)),
    )
    assert seen == [(i, 12) for i in range(1, 13)]


def _dataset(name: str) -> Dataset:
    return OFFICIAL[name]()[0]


@pytest.mark.slow
def test_a_family_that_another_process_generated_meanwhile_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    describe = preparing._describe
    others = []

    def slow(*arguments: Any) -> Any:
        monkeypatch.setattr(preparing, "_describe", describe)
        others.append(phantom.ensure(tmp_path, "phantom-mri"))  # the other one is faster
        others.append((tmp_path / "phantom-mri").stat().st_ino)
        return describe(*arguments)

    monkeypatch.setattr(preparing, "_describe", slow)
    made = phantom.ensure(tmp_path, "phantom-mri")
    assert others == [made, (tmp_path / "phantom-mri").stat().st_ino]
    assert [path.name for path in tmp_path.iterdir()] == ["phantom-mri"]
    assert len(open_store(tmp_path, "phantom-mri").everything()) == 384
    again = phantom.ensure(tmp_path, "phantom-mri", again=True)
    assert again == made
    assert (tmp_path / "phantom-mri").stat().st_ino != others[1]


def test_a_folder_without_a_manifest_is_no_store_and_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "phantom-mri").mkdir()
    (tmp_path / "phantom-mri" / "images.npy").write_text("half")
    with pytest.raises(Damaged, match="manifest.json is missing beside images.npy. Run"):
        phantom.ensure(tmp_path, "phantom-mri")
    assert phantom.ensure(tmp_path, "phantom-mri", again=True).size == phantom.SIZE
    assert len(open_store(tmp_path, "phantom-mri").everything()) == 384


ENSURE = """
import sys
from pathlib import Path
from harness.data.sets import phantom
from harness.data import registry
from harness.data.prepared import open_store
root = Path(sys.argv[1])
for dataset in phantom.DATASETS:
    phantom.ensure(root, dataset.name)
    open_store(root, dataset.name)
"""


@pytest.mark.slow
def test_processes_that_start_together_find_or_make_all_families(tmp_path: Path) -> None:
    processes = [
        subprocess.Popen([sys.executable, "-c", ENSURE, str(tmp_path)], stderr=subprocess.PIPE)
        for _ in range(4)
    ]
    for process in processes:
        _, err = process.communicate(timeout=200)
        assert process.returncode == 0, err.decode()
    assert {path.name for path in tmp_path.iterdir()} == {d.name for d in phantom.DATASETS}
