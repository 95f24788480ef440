"""Counts of twins and shared groups: by hand, against a count one by one, and as commands say."""

from __future__ import annotations

import csv
import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from harness.data import overlap, verify
from harness.data.overlap import Overlap, sentence
from harness.data.prepare import prepare
from harness.data.prepared import Store, open_store
from harness.data.twins import Pairs
from tests import archives, prepared
from tests.archives import encoded, write_zip
from tests.conftest import Harness

NOTHING: dict[str, Any] = {"same": 0, "exact": 0, "near": 0, "grouped": 0, "groups": 0}


def _pairs(*rows: tuple[int, int]) -> list[Pairs]:
    first, second = (np.array([pair[i] for pair in rows], np.int64) for i in (0, 1))
    return [Pairs(first, second, np.zeros(len(rows)), np.ones(len(rows)))]


def test_counts_by_hand() -> None:
    splits = {"given": {"train": [0, 1, 2], "val": [3, 4], "test": [5, 6, 7]}}
    pixels = ["a", "b", "c", "a", "d", "b", "e", "f"]
    groups = ["p", "q", "r", "s", "q", "q", "q", "t"]
    # 5 is identical to 1 and near to it and to 2; 6 is near to 0 and to 4; 7 is alone.
    found = overlap.find(splits, pixels, groups, _pairs((1, 5), (2, 5), (0, 6), (4, 6)))
    val, test, between = (f.overlap for f in found)
    shared: dict[str, Any] = {**NOTHING, "split": "given"}
    assert val == Overlap(
        **{**shared, "part": "val", "other": "train", "images": 2, "exact": 1, "grouped": 1}
        | {"groups": 1}
    )
    assert test == Overlap(
        **{**shared, "part": "test", "other": "train", "images": 3, "exact": 1, "near": 1}
        | {"grouped": 2, "groups": 1}
    )
    assert between == Overlap(
        **{**shared, "part": "test", "other": "val", "images": 3, "near": 1, "grouped": 2}
        | {"groups": 1}
    )
    assert [found[1].rows[kind].tolist() for kind in overlap.KINDS] == [[5], [6], [5, 6]]


@settings(max_examples=60, deadline=None)
@given(data=st.data(), count=st.integers(1, 14))
def test_counts_are_those_of_a_count_one_by_one(data: st.DataObject, count: int) -> None:
    rows = st.integers(0, count - 1)
    pixels = data.draw(st.lists(st.sampled_from("abcd"), min_size=count, max_size=count))
    groups = data.draw(st.lists(st.sampled_from("pqrs"), min_size=count, max_size=count))
    near = data.draw(st.lists(st.tuples(rows, rows), max_size=20))
    drawn = {part: data.draw(st.sets(rows)) for part in ("train", "val", "test")}
    splits = {"given": {part: sorted(members) for part, members in drawn.items()}}
    twins = {(a, b) for pair in near for a, b in (pair, pair[::-1])}
    for found in overlap.find(splits, pixels, groups, _pairs(*near)):
        part, other = drawn[found.overlap.part], drawn[found.overlap.other]
        left = part - other
        exact = {a for a in left if any(pixels[a] == pixels[b] for b in other)}
        grouped = {a for a in left if any(groups[a] == groups[b] for b in other)}
        assert found.overlap == Overlap(
            split="given",
            part=found.overlap.part,
            other=found.overlap.other,
            images=len(part),
            same=len(part & other),
            exact=len(exact),
            near=len({a for a in left if any((a, b) in twins for b in other)} - exact),
            grouped=len(grouped),
            groups=len({groups[a] for a in grouped}),
        )


@pytest.mark.parametrize(
    ("changes", "group", "text"),
    [
        ({}, None, "no test image has a twin in training"),
        ({}, "lesion", "no test image has a twin in training or shares a lesion with it"),
        ({"exact": 1}, None, "of 9 test images 1 has a pixel-identical partner in training"),
        (
            {"exact": 2, "near": 3, "grouped": 4, "groups": 2},
            "patient",
            "of 9 test images 2 have a pixel-identical partner in training, 3 more have a near-twin"
            " in training, 4 share a patient with training (2 patients)",
        ),
        (
            {"near": 1, "grouped": 1, "groups": 1},
            "patient",
            "of 9 test images 1 has a near-twin in training, 1 shares a patient with training"
            " (1 patient)",
        ),
        ({"same": 9}, None, "the test images are the training images themselves"),
    ],
)
def test_counts_in_words(changes: Mapping[str, int], group: str | None, text: str) -> None:
    counted = {**NOTHING, "split": "given", "part": "test", "other": "train", "images": 9}
    assert sentence(Overlap(**{**counted, **changes}), group) == text


def _photograph(seed: int, scale: float = 1.0) -> bytes:
    """Return a picture whose copies at other brightness are its near-twins."""
    rough = np.random.default_rng(seed).integers(0, 256, (9, 12), np.uint8)
    image = Image.fromarray(rough).resize((40, 30), Image.Resampling.BICUBIC)
    return encoded(image.point(lambda value: value * scale))


def _brain(folder: Path) -> Store:
    """Prepare a BTMD: one Testing image is a Training image, another almost one."""
    dataset, members = archives.brain()
    kept = {name: content for name, content in members.items() if name.startswith("Testing")}
    for number, name in enumerate(sorted(n for n in members if n.startswith("Training"))):
        members[name] = _photograph(number)
        if number in (2, 5):  # a meningioma and a "notumor"
            twin = next(n for n in sorted(kept) if n.split("/")[1] == name.split("/")[1])
            members[twin] = _photograph(number, 1.0 if number == 2 else 0.9)
    prepare(dataset, write_zip(folder / "a.zip", members), root=folder / "data", size=32)
    return open_store(folder / "data", "btmd")


def test_a_store_tells_its_twins_and_the_clean_split_has_none(tmp_path: Path) -> None:
    manifest = _brain(tmp_path).manifest
    counts = {(o.split, o.part, o.other): (o.exact, o.near) for o in manifest.overlaps}
    assert counts == {
        ("paper", "eval", "train"): (1, 1),
        ("clean", "val", "train"): (0, 0),
        ("clean", "test", "train"): (0, 0),
        ("clean", "test", "val"): (0, 0),
    }
    joined = manifest.joined
    assert (joined.components, joined.images, joined.largest) == (2, 4, 2)


def test_verify_names_twins_by_split_and_class_and_writes_all_pairs(
    tmp_path: Path, harness: Harness
) -> None:
    _brain(tmp_path)
    code, out, _ = harness("data", "verify", "btmd", "--data", "data", "--pairs", "pairs.csv")
    lines = [line.strip() for line in out.splitlines()]
    assert code == 0
    assert lines[0].startswith("btmd: verified, fingerprint ")
    assert (
        "paper: 1 of 4 evaluation images has a pixel-identical partner in training (glioma 0,"
        " meningioma 1, notumor 0, pituitary 0): Te-me_10"
    ) in lines
    assert (
        "paper: 1 of 4 evaluation images has a near-twin, but no pixel-identical partner, in"
        " training (glioma 0, meningioma 0, notumor 1, pituitary 0): Te-no_20"
    ) in lines
    assert "clean: no test image has a twin in training" in lines
    assert "2 pairs in pairs.csv" in lines
    with Path("pairs.csv").open(encoding="utf-8") as stream:
        first, second = csv.DictReader(stream)
    shown = {name: first[name] for name in ("dataset", "first", "second", "distance", "identical")}
    expected = ["btmd", "Te-me_10", "Tr-me_10", "0", "1"]
    assert list(shown.values()) == expected
    assert float(first["correlation"]) == 1
    assert (second["identical"], second["near_twin"]) == ("0", "1")
    assert (first["paper_first"], first["paper_second"]) == ("eval", "train")
    assert first["clean_first"] == first["clean_second"]
    _, listed, _ = harness("data", "list", "--data", "data")
    assert (
        "paper: train 8, eval 4; of 4 evaluation images 1 has a pixel-identical partner in"
        " training, 1 more has a near-twin in training"
    ) in listed


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"overlaps": []}, "paper, eval in train: not in the manifest"),
        ({"parts": {"paper": {"train": 8, "eval": 4}}}, "other parts than the manifest"),
        ({"joined": {"components": 0, "images": 0, "largest": 1}}, "it holds Joined"),
        (
            {
                "twins": {
                    "check": {"distance": 1, "correlation": 0.5},
                    "join": {"distance": 1, "correlation": 0.5},
                }
            },
            "it was divided by TwinRules",
        ),
    ],
)
def test_a_manifest_that_tells_other_counts_is_found(
    tmp_path: Path, harness: Harness, change: Mapping[str, Any], message: str
) -> None:
    _brain(tmp_path)
    path = tmp_path / "data/btmd/manifest.json"
    prepared.rewrite(path, **change)
    code, _, err = harness("data", "verify", "btmd", "--data", "data")
    assert code == 1
    assert message in err
    assert err.count("\n") == 1


def test_a_clean_split_that_divides_twins_is_found(tmp_path: Path) -> None:
    store = _brain(tmp_path)
    rows = [row for part in store.splits["clean"].values() for row in part]
    twin = store.everything().names.index("Te-me_10")
    store.splits["clean"] = {
        "train": [row for row in rows if row != twin],
        "val": [],
        "test": [twin],
    }
    assert "clean divides 1 sets of images that belong together" in verify.problems(
        store, verify.recount(store)
    )


def test_groups_are_counted_by_what_they_are(tmp_path: Path, harness: Harness) -> None:
    dataset, members = archives.skin()
    prepare(dataset, write_zip(tmp_path / "a.zip", members), root=tmp_path / "data", size=16)
    manifest = open_store(tmp_path / "data", "ham10000").manifest
    (paper,) = (o for o in manifest.overlaps if o.split == "paper")
    # One of four photographs of each class is drawn, and each lesion has two.
    assert (paper.images, paper.grouped, paper.groups) == (7, 7, 7)
    assert all(o.clear for o in manifest.overlaps if o.split == "clean")
    _, out, _ = harness("data", "verify", "ham10000", "--data", "data")
    assert "paper: 7 of 7 evaluation images have a lesion that training has too (7 lesions)" in out


def test_parts_of_the_listing_are_a_given_split_and_shared_groups_are_warned_of(
    tmp_path: Path, harness: Harness
) -> None:
    lines = ["file,label,patient,part"]
    (tmp_path / "images").mkdir()
    for number in range(24):
        name, patient = f"{number:02d}.png", number // 2
        (tmp_path / "images" / name).write_bytes(_photograph(number))
        part = "test" if number in (1, 3) or number > 19 else "train"
        lines.append(f"images/{name},{'ab'[patient % 2]},p{patient},{part}")
    (tmp_path / "table.csv").write_text("\n".join(lines))
    options = ("--csv", "table.csv", "--image-column", "file", "--label-column", "label")
    columns = ("--group-column", "patient", "--split-column", "part")
    code, out, err = harness("data", "add", "mine", *options, *columns, "--size", "32", "--yes")
    assert code == 0, err
    assert (
        "given: train 18, val 6, test 6; of 6 validation images 2 share a patient with training"
        " (2 patients)"
    ) in out
    assert (
        "warning: the given split of mine: of 6 test images 2 share a patient with training"
        " (2 patients); --split clean has none"
    ) in err
    manifest = open_store(tmp_path / "data", "mine").manifest
    # Groups are known, so parts that share some have to be asked for.
    assert manifest.split == "clean"
    assert "paper" not in manifest.parts
    mine = ("report", "table1", "--datasets", "mine", "--rows", "mae", "--name", "table1", *SMOKE)
    code, _, err = harness(*mine)
    assert code == 0, err
    shown = json.loads(Path("reports/smoke/table1.json").read_text())
    notes = {note["label"]: note["text"] for note in shown["notes"]}
    assert notes["Split"].startswith("clean")
    assert (
        "mine: patients, identical images and near-twins kept together, no test image has a twin in"
        " training or shares a patient with it"
    ) in notes["Twins and groups"]
    code, _, err = harness(*mine, "--split", "given", "--force")
    assert code == 0, err
    shown = json.loads(Path("reports/smoke/table1.json").read_text())
    notes = {note["label"]: note["text"] for note in shown["notes"]}
    assert ("mine: of 6 test images 2 share a patient with training (2 patients)") in notes[
        "Twins and groups"
    ]
    assert "the best epoch is selected on the reported images themselves" in notes["Selection"]
    (column,) = shown["columns"]
    (test,) = (o for o in column["division"]["overlaps"] if (o["part"], o["other"]) == PARTS)
    assert (test["grouped"], test["groups"], test["images"]) == (2, 2, 6)


SMOKE = ("--profile", "smoke", "--seeds", "0", "--set", "recipe.batch_size=4")
PARTS = ("test", "train")


def test_a_split_that_a_store_lacks_is_refused_at_planning(
    tmp_path: Path, harness: Harness
) -> None:
    _brain(tmp_path)
    code, _, err = harness(
        "run", "table1", "--datasets", "btmd", "--rows", "mae", "--split", "given", *SMOKE
    )
    assert code == 2
    assert "Data set 'btmd' has no split 'given'; it has paper, clean." in err
    assert err.count("\n") == 1


def test_other_rules_give_another_store(tmp_path: Path) -> None:
    from harness.data.twins import RULES, TwinRule

    dataset, members = archives.brain()
    path = write_zip(tmp_path / "a.zip", members)
    one = prepare(dataset, path, root=tmp_path / "1", size=16)
    rules = dataclasses.replace(RULES, join=TwinRule(distance=10, correlation=0.99))
    two = prepare(dataset, path, root=tmp_path / "2", size=16, rules=rules)
    assert one.twins == RULES
    assert two.twins == rules == open_store(tmp_path / "2", "btmd").rules
    assert one.fingerprint != two.fingerprint
