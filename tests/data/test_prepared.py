"""Stores and splits: fingerprints, parts, groups kept together, scaling."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness import sealed
from harness.data import prepared
from harness.data.prepare import prepare
from harness.data.prepared import Store, open_store, read_manifest, subset
from harness.data.split import CLEAN, balance, clean_split, connect, divide, paper_split, stratified
from harness.errors import Damaged, UserError
from harness.spec.dataset import Dataset, Item, PartName, Split
from tests import archives, tiny
from tests.archives import write_zip


def _brain(root: Path, size: int = 32) -> Store:
    dataset, members = archives.brain()
    prepare(dataset, write_zip(root / "a.zip", members), root=root, size=size)
    return open_store(root, "btmd")


def test_parts_hold_what_the_archive_says(tmp_path: Path) -> None:
    store = _brain(tmp_path)
    train, test = store.part("paper", "train"), store.part("paper", "eval")
    assert len(train) == 8
    assert all(name.startswith("Tr") for name in train.names)
    assert sorted(train.labels.tolist()) == [0, 0, 1, 1, 2, 2, 3, 3]
    assert set(train.names).isdisjoint(test.names)
    np.testing.assert_array_equal(test.load(), test.images[test.index])
    with pytest.raises(UserError, match="'btmd' has no masks"):
        test.load_masks()


def test_scaling_down_averages_areas(tmp_path: Path) -> None:
    store = _brain(tmp_path, size=24).everything()  # of 40 x 30 pixels
    whole = store.load().astype(float)
    half = whole.reshape(12, 12, 2, 12, 2, 1).mean((2, 4))
    np.testing.assert_allclose(store.load(12), half, atol=0.5001)
    np.testing.assert_array_equal(store.load(64), store.load())  # nothing is enlarged


def test_an_image_fills_the_part_of_its_array_that_it_needs(tmp_path: Path) -> None:
    store = _brain(tmp_path, size=36).everything()  # 40 x 30 pixels: only the width is shrunk
    assert store.extents().tolist() == [[30, 36]] * 12
    assert store.extents(32).tolist() == [[30, 32]] * 12
    assert store.extents(64).tolist() == [[30, 36]] * 12
    whole, smaller = store.load().astype(float), store.load(18)
    assert not whole[:, 30:].any()
    # 30 rows are averaged to 18 (5 to 3), 36 columns to 18 (2 to 1).
    columns = whole[:, :30].reshape(12, 30, 18, 2, 1).mean(3).reshape(12, 6, 5, 18, 1)
    weights = np.array([[3, 2, 0, 0, 0], [0, 1, 3, 1, 0], [0, 0, 0, 2, 3]]) / 5
    expected = np.einsum("rs,ngswc->ngrwc", weights, columns).reshape(12, 18, 18, 1)
    np.testing.assert_allclose(smaller, expected, atol=0.5001)
    # A height that fits stays as it is; what it does not fill stays 0.
    fitting = store.load(32)
    assert not fitting[:, 30:].any()
    np.testing.assert_array_equal(
        fitting[:, :30].mean((1, 2, 3)).round(-1), whole[:, :30].mean((1, 2, 3)).round(-1)
    )


def test_other_versions_and_other_fields_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"'btmd' is not prepared.*harness data prepare btmd"):
        open_store(tmp_path, "btmd")
    _brain(tmp_path)
    path = tmp_path / "btmd" / "manifest.json"
    (tmp_path / "btmd" / "images.npy").rename(tmp_path / "btmd" / "away")
    with pytest.raises(Damaged, match=r"images.npy is missing. Run `harness data prepare btmd`"):
        open_store(tmp_path, "btmd")
    content = json.loads(path.read_bytes())
    path.write_text(json.dumps(content)[:50])
    with pytest.raises(Damaged, match="truncated"):
        read_manifest(tmp_path, "btmd")
    del content["digest"], content["blocks"]
    # What version 0.2 wrote before there were checksums.
    path.write_text(json.dumps({**content, "format": 2}))
    with pytest.raises(UserError, match="format 2, this version reads 3, .*data prepare btmd"):
        read_manifest(tmp_path, "btmd")
    path.write_text(json.dumps({**content, "format": 3}))
    with pytest.raises(Damaged, match="has changed since it was written"):
        read_manifest(tmp_path, "btmd")
    for changes, message in (
        ({"format": 4}, "format 4, this version reads 3"),
        ({"size": "32"}, "does not fit its format: size: expected"),
        ({"counts": [1]}, "classes and counts are not equally many"),
        ({"fingerprint": "0" * 64}, "its fingerprint is not that of its files"),
        ({"split": "given"}, "it has no split 'given'"),
        ({"dataset": "busi"}, "is the manifest of 'busi', not of 'btmd'"),
    ):
        path.write_bytes(sealed.seal({**content, "format": 3, **changes}))
        with pytest.raises(UserError, match=message):
            read_manifest(tmp_path, "btmd")


def test_fingerprints_do_not_move_with_checksums() -> None:
    """The fingerprint names the data in keys: it covers what it did before there were blocks."""
    hashes = {"images.npy": "a" * 64, "index.json": "b" * 64, "twins.npy": "c" * 64}
    assert prepared.fingerprint(hashes) == (
        "525a692c000a164b7f7fa3541b4c1b5ef017aa527e27a0fb159e3b0c8fc21e45"
    )


def test_fingerprints_cover_labels_and_splits(tmp_path: Path) -> None:
    first = _brain(tmp_path).manifest.fingerprint
    dataset, members = archives.brain()
    moved = {
        name.replace("Training/glioma/Tr-gl_00", "Training/notumor/Tr-gl_00").replace(
            "Training/notumor/Tr-no_20", "Training/glioma/Tr-no_20"
        ): content
        for name, content in members.items()
    }
    other = prepare(dataset, write_zip(tmp_path / "b.zip", moved), root=tmp_path / "b", size=32)
    assert other.fingerprint != first


def _items(labels: list[int], groups: list[int] | None = None) -> tuple[Item, ...]:
    return tuple(
        Item(
            name=f"image {i:04d}",
            label=label,
            image="",
            group=None if groups is None else f"g{groups[i]}",
        )
        for i, label in enumerate(labels)
    )


@settings(max_examples=60, deadline=None)
@given(
    labels=st.lists(st.integers(0, 3), min_size=4, max_size=80),
    share=st.floats(0.1, 0.9),
    data=st.data(),
)
def test_paper_split_is_exact_stratified_and_blind_to_order(
    labels: list[int], share: float, data: st.DataObject
) -> None:
    count = max(1, int(len(labels) * share))
    items = _items(labels)
    sizes = {"train": len(labels) - count, "eval": count}
    parts = paper_split("toy", items, sizes)
    assert sorted(parts["train"] + parts["eval"]) == list(range(len(labels)))
    assert len(parts["eval"]) == count
    for label in set(labels):
        total = labels.count(label)
        drawn = sum(labels[i] == label for i in parts["eval"])
        assert abs(drawn - total * count / len(labels)) < 1
    order = data.draw(st.permutations(range(len(labels))))
    shuffled = tuple(items[i] for i in order)
    again = paper_split("toy", shuffled, sizes)
    assert {shuffled[i].name for i in again["eval"]} == {items[i].name for i in parts["eval"]}


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(
        st.tuples(st.integers(0, 2), st.integers(0, 25), st.integers(0, 60)),
        min_size=10,
        max_size=120,
    )
)
def test_clean_split_divides_no_group_and_no_duplicates(rows: list[tuple[int, int, int]]) -> None:
    items = _items([r[0] for r in rows], [r[1] for r in rows])
    pixels = [str(r[2]) for r in rows]
    connected = connect(items, pixels)
    parts = clean_split("toy", items, connected)
    assert (parts is None) == (len(np.unique(connected)) < 3)
    if parts is None:
        return
    assert all(parts.values())
    assert sorted(i for rows in parts.values() for i in rows) == list(range(len(items)))
    where = {i: part for part, rows in parts.items() for i in rows}
    for i in range(len(items)):
        for j in range(i):
            if items[i].group == items[j].group or pixels[i] == pixels[j]:
                assert where[i] == where[j]


def test_clean_split_has_its_shares_where_groups_are_small() -> None:
    items = _items([i % 2 for i in range(1000)])
    parts = clean_split("toy", items, connect(items, [str(i) for i in range(1000)]))
    assert parts is not None
    assert {p: len(rows) for p, rows in parts.items()} == {"train": 700, "val": 100, "test": 200}


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 12), min_size=3, max_size=60),
    labels=st.lists(st.integers(0, 2), min_size=60, max_size=60),
    data=st.data(),
)
def test_clean_split_is_blind_to_order_and_gives_each_part_each_class(
    sizes: list[int], labels: list[int], data: st.DataObject
) -> None:
    groups = [group for group, size in enumerate(sizes) for _ in range(size)]
    items = _items([labels[group] for group in groups], groups)
    pixels = [item.name for item in items]
    parts = clean_split("toy", items, connect(items, pixels))
    assert parts is not None
    for label in set(labels[: len(sizes)]):
        if sum(labels[group] == label for group in range(len(sizes))) >= len(CLEAN):
            for rows in parts.values():
                assert any(items[i].label == label for i in rows)
    order = data.draw(st.permutations(range(len(items))))
    shuffled = tuple(items[i] for i in order)
    again = clean_split("toy", shuffled, connect(shuffled, [item.name for item in shuffled]))
    assert again is not None
    named = {part: {items[i].name for i in rows} for part, rows in parts.items()}
    assert {part: {shuffled[i].name for i in rows} for part, rows in again.items()} == named


def test_a_component_larger_than_a_share_is_trained_on() -> None:
    groups = [0] * 40 + list(range(1, 61))  # 40 % of the images are one patient's
    items = _items([0] * 100, groups)
    parts = clean_split("toy", items, connect(items, [item.name for item in items]))
    assert parts is not None
    assert {p: len(rows) for p, rows in parts.items()} == {"train": 70, "val": 10, "test": 20}
    assert set(range(40)) <= set(parts["train"])


def test_shares_that_cannot_be_kept_are_told() -> None:
    labels = [0] * 30 + [1] * 2
    items = _items(labels, [i // 10 for i in range(30)] + [3, 4])
    parts = clean_split("toy", items, connect(items, [item.name for item in items]))
    assert parts is not None
    # Three patients of one class have one each; the other class has too few for every part.
    assert [sum(labels[i] == 0 for i in rows) for rows in parts.values()] == [10, 10, 10]
    told = balance(parts, np.array(labels), ["benign", "malignant"])
    assert told.startswith("train 34 %, val 31 %, test 34 % instead of train 70 %, val 10 %, test")
    assert told.endswith("; no malignant in val")
    assert balance({"train": [0] * 7, "val": [0], "test": [0, 0]}, np.zeros(1, int), ["a"]) == ""


def _own(
    parts: list[PartName | None], *, grouped: bool, split: Split = "paper"
) -> tuple[Dataset, tuple[Item, ...]]:
    """Return a user's data set of pairs of images, without sizes of the paper."""
    items = _items([i % 2 for i in range(len(parts))], [i // 2 for i in range(len(parts))])
    items = tuple(
        replace(item, part=part, group=item.group if grouped else None)
        for item, part in zip(items, parts, strict=True)
    )
    return replace(tiny.dataset(2), sizes={}, split=split), items


PARTS: list[PartName | None] = [*["train"] * 6, *["test"] * 4]  # type: ignore[list-item]


@pytest.mark.parametrize(
    ("parts", "grouped", "asked", "default", "names"),
    [
        (PARTS, False, "paper", "given", ["clean", "given"]),
        (PARTS, True, "paper", "clean", ["clean", "given"]),
        (PARTS, True, "given", "given", ["clean", "given"]),
        ([None] * 10, True, "paper", "clean", ["clean"]),
        ([None] * 10, False, "paper", "clean", ["clean"]),
    ],
)
def test_the_default_split_divides_no_groups_unless_asked_for(
    parts: list[PartName | None], grouped: bool, asked: Split, default: Split, names: list[Split]
) -> None:
    dataset, items = _own(parts, grouped=grouped, split=asked)
    divided = divide(dataset, items, connect(items, [item.name for item in items]))
    assert (divided.default, list(divided.splits)) == (default, names)
    given: dict[str, PartName | None] = {item.name: "train" for item in items}
    given |= {item.name: "test" for item in items[:2]}
    filed = divide(dataset, items, np.arange(10), given)
    assert (filed.default, filed.splits["given"]["test"]) == ("given", [0, 1])


def test_images_without_a_part_among_others_with_one_are_named() -> None:
    dataset, items = _own([*PARTS[:-1], None], grouped=False)
    with pytest.raises(UserError, match="1 images have no part, while others have: image 0009"):
        divide(dataset, items, np.arange(10))


def test_images_that_cannot_be_divided_at_all_are_refused() -> None:
    dataset, items = _own([None] * 10, grouped=False)
    with pytest.raises(UserError, match="10 images of fewer than three groups.*--split-file CSV"):
        divide(dataset, items, np.zeros(10, int))


def test_two_draws_of_other_data_sets_differ() -> None:
    names, labels = [f"{i}" for i in range(100)], [0] * 100
    assert stratified(names, labels, 30, "a") != stratified(names, labels, 30, "b")


@pytest.mark.parametrize("count", [2, 5, 11])
def test_subsets_are_stratified_and_exact(tmp_path: Path, count: int) -> None:
    store = _brain(tmp_path).everything()
    some = subset(store, count)
    assert len(some) == max(count, 4)  # at least one image of each class
    counts = np.bincount(some.labels, minlength=4)
    assert counts.max() - counts.min() <= 1
    assert subset(store, count).names == some.names
    assert subset(store, None) is store
    assert subset(store, 50) is store
