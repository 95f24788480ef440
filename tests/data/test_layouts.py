"""Every layout in which users have an archive is read, or refused in one line of advice."""

from __future__ import annotations

import functools
import re
import tempfile
from pathlib import Path

import pytest

from harness.data import photographs
from harness.data.archive import Given, open_source
from harness.data.prepare import check, prepare
from harness.data.prepared import open_store
from harness.data.sets import btmd, busi, ham10000, messidor2
from harness.data.split import paper_split
from harness.errors import LISTED, UserError
from harness.spec.dataset import Dataset, Listing
from tests.archives import OFFICIAL, encoded, picture, write_zip
from tests.data.layouts import Layout, members_of
from tests.data.layouts_btmd import BTMD
from tests.data.layouts_others import BUSI, HAM10000, MESSIDOR2

LAYOUTS = [*BTMD, *HAM10000, *BUSI, *MESSIDOR2]
PAGE = Path(__file__).parent.parent.parent / "docs/data.md"


@functools.cache
def _official(dataset: str) -> str:
    """Return the fingerprint of the store of the official layout."""
    with tempfile.TemporaryDirectory() as folder:
        path = write_zip(Path(folder, "a.zip"), members_of(dataset))
        return prepare(OFFICIAL[dataset]()[0], path, root=Path(folder), size=16).fingerprint


def _read(given: Path | Given, dataset: Dataset) -> tuple[Listing, list[str]]:
    """Return the images of an archive and the remarks of reading it."""
    with open_source(given) as source:
        items = dataset.listing(source)
        photographs.check(source, dataset.title, items)
        return items, source.remarks


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda row: f"{row.dataset}-{row.title}")
def test_every_layout_is_accepted_or_explained(tmp_path: Path, layout: Layout) -> None:
    dataset = OFFICIAL[layout.dataset]()[0]
    folder = tmp_path / "given"
    folder.mkdir()
    given = layout.write(folder)
    root = tmp_path / "data"
    if layout.message:
        with pytest.raises(UserError) as error:
            prepare(dataset, given, root=root, size=16)
        text = str(error.value)
        assert layout.message in text
        assert "\n" not in text
        assert len(text) < 4000
        assert not root.exists() or list(root.iterdir()) == []
        return
    manifest = prepare(dataset, given, root=root, size=16)
    assert sum(manifest.parts["paper"].values()) == sum(dataset.counts)
    if layout.same:
        assert manifest.fingerprint == _official(layout.dataset)
    items, remarks = _read(given, dataset)
    assert [layout.remark in remark for remark in remarks] == [True] * bool(layout.remark)
    store = open_store(root, layout.dataset).everything()
    assert (store.groups is not None) == any(item.group for item in items)
    assert (store.masks is not None) == any(item.masks for item in items)


def test_the_page_shows_every_layout_and_its_result() -> None:
    section = PAGE.read_text(encoding="utf-8").partition("\n## Layouts\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (.*) \| (.*) \| (.*) \|$", section, flags=re.M)[1:]
    expected = [(f"`{row.dataset}`", row.title, row.result) for row in LAYOUTS]
    assert [row for row in rows if row[0].startswith("`")] == expected


def _tiny(number: int) -> bytes:
    return encoded(picture(number, size=(8, 8)), ".jpg")


def _official_items(dataset: Dataset, given: Path) -> Listing:
    """Return the images of an archive of the true counts, which are checked."""
    with open_source(given) as source:
        items = dataset.listing(source)
    check(dataset, items)
    paper_split(dataset.name, items, dataset.sizes)
    return items


def _brains(version: int, *, unique: bool = True) -> dict[str, bytes]:
    """Return a BTMD of a version's true counts."""
    content = _tiny(0)
    return {
        f"{btmd.OFFICIAL[part]}/{name}/{f'{part}-{name}-' if unique else ''}{i}.jpg": content
        for part, counts in btmd.VERSIONS[version].items()
        for name, count in zip(btmd.CLASSES, counts, strict=True)
        for i in range(count)
    }


def test_both_versions_of_btmd_are_told_apart_by_their_counts(tmp_path: Path) -> None:
    first = write_zip(tmp_path / "1.zip", _brains(1))
    second = write_zip(tmp_path / "2.zip", _brains(2))
    assert len(_official_items(btmd.DATASET, first)) == 7023
    assert len(_official_items(btmd.VERSION_2, second)) == 7200
    with pytest.raises(UserError, match=r"is version 2 .*versions/1.*prepare btmd-v2 --from"):
        _official_items(btmd.DATASET, second)
    with pytest.raises(UserError, match=r"is version 1 .*harness data prepare btmd --from"):
        _official_items(btmd.VERSION_2, first)


def test_names_that_start_again_in_each_folder_are_told_apart(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.zip", _brains(2, unique=False))
    items = _official_items(btmd.VERSION_2, path)
    assert len({item.name for item in items}) == 7200
    assert items[0].name == "Testing/glioma/0"


@pytest.mark.parametrize("form", ["metadata", "challenge"])
def test_ham10000_of_the_true_counts(tmp_path: Path, form: str) -> None:
    """10 015 images of 7470 lesions, 2545 of which have a second photograph."""
    labels = [
        name
        for name, count in zip(ham10000.CLASSES, ham10000.DATASET.counts, strict=True)
        for _ in range(count)
    ]
    content = _tiny(0)
    images = [f"ISIC_{24306 + i:07}" for i in range(10015)]
    members = {f"part/{image}.jpg": content for image in images}
    members |= {f"masks/{image}_segmentation.png": content for image in images}
    lesions = [f"HAM_{i % 7470:07}" for i in range(10015)]
    if form == "metadata":
        rows = ["lesion_id\timage_id\tdx"]
        rows += ["\t".join(row) for row in zip(lesions, images, labels, strict=True)]
        members["HAM10000_metadata.tab"] = "\n".join(rows).encode()
    else:
        order = ("mel", "nv", "bcc", "akiec", "bkl", "df", "vasc")
        truth = ["image," + ",".join(order).upper()]
        truth += [
            ",".join([image, *("1.0" if label == name else "0.0" for name in order)])
            for image, label in zip(images, labels, strict=True)
        ]
        members["ISIC2018_Task3_Training_GroundTruth.csv"] = "\n".join(truth).encode()
        grouping = ["image,lesion_id"]
        grouping += [f"{image},{lesion}" for image, lesion in zip(images, lesions, strict=True)]
        members["ISIC2018_Task3_Training_LesionGroupings.csv"] = "\n".join(grouping).encode()
    items = _official_items(ham10000.DATASET, write_zip(tmp_path / "a.zip", members))
    assert len({item.group for item in items}) == 7470
    assert all(item.masks and item.lesion for item in items)


def test_busi_of_the_true_counts_is_divided_alike_under_other_names(tmp_path: Path) -> None:
    content = _tiny(0)
    names = [
        f"{name} ({i})"
        for name, count in zip(busi.CLASSES, busi.DATASET.counts, strict=True)
        for i in range(1, count + 1)
    ]
    official = {f"{n.split()[0]}/{n}{m}.png": content for n in names for m in ("", "_mask")}
    official |= {f"benign/benign ({i})_mask_1.png": content for i in range(1, 19)}
    other = {n.replace(" (", "_").replace(")", ""): c for n, c in official.items()}
    first = _official_items(busi.DATASET, write_zip(tmp_path / "1.zip", official))
    second = _official_items(busi.DATASET, write_zip(tmp_path / "2.zip", other))
    assert sum(len(item.masks) for item in first) == 798
    assert [item.name for item in first] == [item.name for item in second]
    sizes = busi.DATASET.sizes
    assert paper_split("busi", first, sizes) == paper_split("busi", second, sizes)


def test_messidor2_of_the_true_counts_keeps_eyes_together(tmp_path: Path) -> None:
    """1748 images of 874 patients, four of which have no grade."""
    grades = [
        str(grade) for grade, count in enumerate(messidor2.DATASET.counts) for _ in range(count)
    ]
    rows = ["image_id;adjudicated_dr_grade;adjudicated_gradable"]
    rows += [f"IM{i:04}.jpg;{grade};1" for i, grade in enumerate(grades)]
    rows += [f"IM{i:04}.jpg;;0" for i in range(1744, 1748)]
    pairs = ["left;right", *(f"IM{i:04}.JPG;IM{1747 - i:04}.JPG" for i in range(874))]
    members = {f"IMAGES/IM{i:04}.JPG": _tiny(0) for i in range(1748)}
    members |= {"messidor_data.csv": "\n".join(rows).encode()}
    members |= {"messidor-2.csv": "\r\n".join(pairs).encode()}
    items = _official_items(messidor2.DATASET, write_zip(tmp_path / "a.zip", members))
    assert len(items) == 1744
    # Patient i has the images i and 1747 - i; the last four images have no grade.
    patients = {item.name: item.group for item in items}
    assert len(set(patients.values())) == 874
    assert patients["IM0004"] == patients["IM1743"] != patients["IM0005"]


def test_lists_of_names_are_cut(tmp_path: Path) -> None:
    dataset, members = OFFICIAL["ham10000"]()
    kept = {n: c for n, c in members.items() if not n.endswith("jpg")}
    kept["a.jpg"] = _tiny(0)
    with pytest.raises(UserError, match="and 8 more") as error:
        prepare(dataset, write_zip(tmp_path / "a.zip", kept), root=tmp_path / "data")
    assert str(error.value).count("ISIC_0") == LISTED
