"""The audit of a data set finds what was planted: twins, labels, groups, odd and unseen images."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from harness.audit import data, data_page, page
from harness.audit.data import DataAudit
from harness.audit.rescored import Rescored
from harness.audit.twinned import TwinPair
from harness.audit.unseen import unseen
from harness.data.prepare import prepare
from harness.data.prepared import Store, open_store
from harness.data.sets import busi
from harness.evaluate.segmentation import pack
from harness.plan import catalog
from harness.plan.plan import resolve
from harness.spec import profiles
from harness.spec.dataset import Dataset, Listing, Source
from harness.spec.recipe import Recipe
from harness.spec.run import Run
from harness.stats.intervals import wilson
from harness.store.record import Records
from harness.store.result import EpochEvaluation, Evaluation
from tests import archives, records
from tests.archives import encoded, picture, write_zip

FIXED = Recipe(epochs=1, batch_size=4, base_lr=0.1, order="fixed")
RELEASED = {"pretrain": FIXED, "finetune": replace(FIXED, batch_size=5)}
BREAST = "Dataset_BUSI_with_GT"


def _gradient(seed: int, noise: float = 0.0) -> Image.Image:
    """Return a smooth picture; a little noise leaves it a near-twin."""
    rows, columns = np.mgrid[0:60, 0:80]
    # The third root keeps a slope everywhere, so that no bit of the hash is a tie.
    waves = np.sin(rows / (5 + seed)) * np.cos(columns / (7 + 2 * seed))
    random = np.random.default_rng(seed)
    grey = 127 + 120 * waves + noise * random.normal(size=waves.shape)
    return Image.fromarray(np.clip(grey, 0, 255).astype(np.uint8)).convert("RGB")


def _mask(size: tuple[int, int], *, rows: int) -> bytes:
    mask = np.zeros(size, np.uint8)
    mask[:rows] = 255
    return encoded(Image.fromarray(mask))


def _unchecked(source: Source) -> Listing:
    """List BUSI without saying which class has lesions, so that an empty mask is not refused."""
    return tuple(replace(item, lesion=None) for item in busi.listing(source))


@pytest.fixture
def breast(tmp_path: Path) -> tuple[Dataset, Store]:
    """Twins: benign (1) = malignant (1), another class; benign (2) and (3) nearly equal.

    malignant (2) has an empty mask, malignant (3) one over the whole image; normal (1) is white,
    normal (2) small and long.
    """
    dataset, members = archives.breast()
    pictures = {
        "benign/benign (1)": _gradient(0),
        "malignant/malignant (1)": _gradient(0),
        "benign/benign (2)": _gradient(1),
        "benign/benign (3)": _gradient(1, noise=1.0),
        "normal/normal (1)": Image.new("RGB", (80, 60), "white"),
        "normal/normal (2)": picture(77, size=(80, 20)),
    }
    for number, name in enumerate(members):
        if "mask" not in name:
            stem = name.removeprefix(f"{BREAST}/").removesuffix(".png")
            members[name] = encoded(pictures.get(stem, picture(number, size=(80, 60))))
        else:
            size = (20, 80) if "normal (2)" in name else (60, 80)
            empty = "normal" in name or "malignant (2)" in name
            members[name] = _mask(size, rows=0 if empty else 60 if "malignant (3)" in name else 15)
    dataset = replace(dataset, listing=_unchecked)
    prepare(dataset, write_zip(tmp_path / "busi.zip", members), root=tmp_path / "data", size=64)
    return dataset, open_store(tmp_path / "data", "busi")


def _audit(tmp_path: Path, dataset: Dataset) -> DataAudit:
    return data.audit(tmp_path / "data", dataset, Records(tmp_path / "runs"), RELEASED)


def test_planted_twins_and_labels_are_found(tmp_path: Path, breast: Any) -> None:
    found = _audit(tmp_path, breast[0])
    pairs = {frozenset((p.first, p.second)): p for p in found.pairs}
    planted = frozenset(("benign (1)", "malignant (1)")), frozenset(("benign (2)", "benign (3)"))
    assert set(pairs) == set(planted)
    assert pairs[planted[0]].identical and not pairs[planted[1]].identical
    assert [frozenset((p.first, p.second)) for p in found.conflicts] == [planted[0]]
    part = {
        name: which for which in ("train", "eval") for name in breast[1].part("paper", which).names
    }
    for names, pair in pairs.items():
        assert set(pair.parts) == {part[name] for name in names}
    text = page.to_markdown(data_page.page(found))
    assert "| benign (1) | malignant (1) | benign / malignant |" in text
    assert "1 pairs of twins have two labels" in text


def test_counts_across_parts_are_those_of_the_planted_pairs(tmp_path: Path, breast: Any) -> None:
    found = _audit(tmp_path, breast[0])
    trained = set(breast[1].part("paper", "train").names)
    evaluated = set(breast[1].part("paper", "eval").names)
    for kind, names in (
        ("exact", ("benign (1)", "malignant (1)")),
        ("near", ("benign (2)", "benign (3)")),
    ):
        expected = sum(a in evaluated and b in trained for a, b in (names, names[::-1]))
        paper = next(o for o in found.overlaps if o.overlap.split == "paper")
        assert getattr(paper.overlap, kind) == expected
        assert sum(paper.by_class[kind].values()) == expected
    clean = [o.overlap for o in found.overlaps if o.overlap.split == "clean"]
    assert all(o.exact == o.near == 0 for o in clean)


def test_balance_and_odd_images(tmp_path: Path, breast: Any) -> None:
    found = _audit(tmp_path, breast[0])
    for split, parts in found.balance.items():
        for part, counts in parts.items():
            labels = breast[1].part(split, part).labels
            assert list(counts.values()) == np.bincount(labels, minlength=3).tolist()
    odd = {o.what: o.names for o in found.odd}
    assert odd == {
        "all of one grey value": ("normal (1)",),
        "the short side below half the median (30 px)": ("normal (2)",),
        "one side more than 2.5 times the other": ("normal (2)",),
        "pixels identical with another image's": ("benign (1)", "malignant (1)"),
        "an empty mask, in the class malignant": ("malignant (2)",),
        "a mask over more than 75% of the image": ("malignant (3)",),
    }


def test_planted_images_that_are_never_seen(tmp_path: Path, breast: Any) -> None:
    """9 training images: a batch of 4 leaves out one, a batch of 5 four."""
    dataset, store = breast
    train = store.part("paper", "train")
    found = {u.stage: u for u in _audit(tmp_path, dataset).unseen}
    assert {stage: len(u.names) for stage, u in found.items()} == {"pretrain": 1, "finetune": 4}
    # The sampler: torch's permutation under seed 0, of files by class and name.
    files = sorted(zip((dataset.classes[i] for i in train.labels), train.names, strict=True))
    order = torch.randperm(9, generator=torch.Generator().manual_seed(0)).tolist()
    for stage, seen in (("pretrain", 8), ("finetune", 5)):
        expected = {files[position][1] for position in order[seen:]}
        assert set(found[stage].names) == expected
        assert sum(found[stage].by_class.values()) == 9 - seen
    reshuffled = {"pretrain": replace(FIXED, order="reshuffled")}
    assert unseen(train, reshuffled, dataset.classes) == ()
    assert unseen(train, {"pretrain": replace(FIXED, batch_size=64)}, dataset.classes) == ()


def test_a_lesion_with_two_labels_is_found(tmp_path: Path) -> None:
    dataset, members = archives.skin()
    table = members["HAM10000_metadata.csv"].decode()
    members["HAM10000_metadata.csv"] = table.replace(
        "HAM_10,ISIC_0010", "HAM_00,ISIC_0010"
    ).encode()
    prepare(dataset, write_zip(tmp_path / "ham.zip", members), root=tmp_path / "data", size=32)
    found = _audit(tmp_path, dataset)
    (torn,) = found.torn
    assert torn.names == ("ISIC_0000", "ISIC_0001", "ISIC_0010")
    assert torn.classes == (*[dataset.classes[0]] * 2, dataset.classes[1])


def _plant(tmp_path: Path, store: Store, arrays: dict[str, np.ndarray], **changes: Any) -> str:
    """Write the record of a finished run with these predictions."""
    definition = {
        "dataset": "busi",
        "data": store.manifest.fingerprint,
        "split": "paper",
        "profile": {"image_size": 32, "train_images": None, "eval_images": None},
        "stages": [{"phase": "supervised", "method": {"type": "one"}}],
        "seed": 3,
        **changes,
    }
    numbered = f"{len(list(tmp_path.glob('runs/records/*'))):064x}"
    key: str = changes.pop("key", numbered)
    definition.pop("key", None)
    runs = Records(tmp_path / "runs")
    point = EpochEvaluation(epoch=0, metrics={"accuracy": 0.5}, correct=1, collapsed=False)
    evaluation = Evaluation(n=3, classes=(1, 1, 1), last=point, best=point)
    digest = runs.write_predictions(key, arrays)
    result = records.result(evaluation=evaluation, predictions=digest)
    runs.write(dataclasses.replace(records.record(key, definition), result=result))
    return key


def _with_twins(store: Store) -> tuple[list[str], np.ndarray]:
    """Return the reported names, and which of them have a planted twin in training."""
    partner = {"benign (1)": "malignant (1)", "benign (2)": "benign (3)"}
    partner |= {b: a for a, b in partner.items()}
    trained = set(store.part("paper", "train").names)
    names = list(store.part("paper", "eval").names)
    return names, np.array([partner.get(name) in trained for name in names])


def _classifier(store: Store, right: np.ndarray) -> dict[str, np.ndarray]:
    labels = store.part("paper", "eval").labels
    answers = np.eye(3)[np.where(right, labels, (labels + 1) % 3)].astype(np.float32)
    names = np.asarray(store.part("paper", "eval").names)
    return {"last": answers, "best": np.eye(3)[labels], "labels": labels, "names": names}


def _last(found: DataAudit) -> Rescored:
    return next(run for run in found.runs if run.rule == "last")


def test_a_run_is_scored_without_its_twins(tmp_path: Path, breast: Any) -> None:
    dataset, store = breast
    _, twins = _with_twins(store)
    assert 0 < twins.sum() < len(twins)  # the split puts a twin on either side
    _plant(tmp_path, store, _classifier(store, twins))
    found = _audit(tmp_path, dataset)
    run = _last(found)
    count, n = int(twins.sum()), len(twins)
    assert (run.all.n, run.without_twins.n, run.twins.n) == (n, n - count, count)
    assert run.all.value == pytest.approx(count / n)
    assert (run.without_twins.value, run.twins.value) == (0.0, 1.0)
    assert run.all.interval == wilson(count, n)
    assert run.without_groups is None  # BUSI names no patients
    best = next(r for r in found.runs if r.rule == "best")
    assert best.all.value == best.without_twins.value == 1.0


def test_masks_are_scored_without_twins(tmp_path: Path, breast: Any) -> None:
    dataset, store = breast
    names, twins = _with_twins(store)
    truth = np.zeros((len(names), 8, 8), bool)
    truth[:, :4] = True
    drawn = truth & twins[:, None, None]
    arrays = {
        "last": pack(drawn),
        "best": pack(truth),
        "truth": pack(truth),
        "side": np.asarray(8),
        "labels": store.part("paper", "eval").labels,
        "names": np.asarray(names),
    }
    _plant(tmp_path, store, arrays)
    run = _last(_audit(tmp_path, dataset))
    assert run.metric == "f1"
    assert run.all.value == pytest.approx(twins.mean())
    assert (run.without_twins.value, run.twins.value) == (0.0, 1.0)


def test_runs_that_cannot_be_scored_are_named(tmp_path: Path, breast: Any) -> None:
    dataset, store = breast
    right = np.ones(3, bool)
    other = _plant(tmp_path, store, _classifier(store, right), data="0" * 64)
    gone = _plant(tmp_path, store, _classifier(store, right))
    Records(tmp_path / "runs").predictions_path(gone).unlink()
    arrays = {**_classifier(store, right), "names": np.array(["a", "b", "c"])}
    foreign = _plant(tmp_path, store, arrays)
    short = {name: array[:2] for name, array in _classifier(store, right).items()}
    shorter = _plant(tmp_path, store, short)
    strange = _plant(tmp_path, store, _classifier(store, right), profile={"image_size": 32})
    nameless = {k: v for k, v in _classifier(store, right).items() if k != "names"}
    unnamed = _plant(tmp_path, store, nameless)
    _plant(tmp_path, store, _classifier(store, right), dataset="btmd")
    found = _audit(tmp_path, dataset)
    why = {s.key: s.why for s in found.skipped}
    assert found.runs == ()
    assert "other contents" in why[other]
    assert "are missing" in why[gone]
    assert "not of the images that its split reports" in why[foreign]
    assert "not of the images that its split reports" in why[shorter]
    cannot = "its definition or its predictions cannot be used: "
    assert {why[strange], why[unnamed]} == {f"{cannot}'train_images'", f"{cannot}'names'"}
    assert len(why) == 6
    assert {s.title for s in found.skipped} == {
        "supervised one / busi / seed 3 (of no shipped row as it stands)"
    }


def test_a_run_is_named_by_its_table_row_data_set_and_seed(tmp_path: Path, breast: Any) -> None:
    dataset, store = breast
    _, table1 = catalog.load("table1")
    row = next(row for row in table1.rows if row.name == "vit")
    (chain,) = resolve([row], profiles.SMOKE, ())
    run = Run(
        dataset="busi",
        data=store.manifest.fingerprint,
        split="paper",
        profile=profiles.SMOKE,
        stages=chain,
        seed=7,
    )
    arrays = _classifier(store, np.ones(3, bool))
    _plant(tmp_path, store, arrays, key=run.key(), **run.definition())
    _plant(tmp_path, store, arrays)
    found = _audit(tmp_path, dataset)
    shown = next(r for r in found.runs if r.key == run.key())
    # Table 7 has the same row.
    assert shown.title == "table1 / vit = table7 / vit / busi / seed 7 (smoke)"
    assert [(s.table, s.row, s.profile) for s in shown.rows] == [
        ("table1", "vit", "smoke"),
        ("table7", "vit", "smoke"),
    ]
    other = next(r for r in found.runs if r.key != run.key())
    assert other.title == "supervised one / busi / seed 3 (of no shipped row as it stands)"
    assert other.rows == ()
    text = page.to_markdown(data_page.page(found))
    assert "| table1 / vit = table7 / vit / busi / seed 7 (smoke) |" in text
    values = json.loads(json.dumps(found.to_json()))["runs"]
    assert [s["row"] for r in values for s in r["rows"]] == ["vit"] * 4  # two rules, two tables


def test_predictions_in_another_order_are_matched_by_name(tmp_path: Path, breast: Any) -> None:
    dataset, store = breast
    _, twins = _with_twins(store)
    arrays = _classifier(store, twins)
    _plant(tmp_path, store, arrays)
    _plant(tmp_path, store, {name: array[::-1] for name, array in arrays.items()}, seed=4)
    first, second = (r for r in _audit(tmp_path, dataset).runs if r.rule == "last")
    assert first.without_twins.value == 0.0
    for name in ("all", "without_twins", "twins"):
        assert getattr(first, name) == getattr(second, name)


def test_predictions_with_other_labels_are_named_and_not_scored(
    tmp_path: Path, breast: Any
) -> None:
    dataset, store = breast
    arrays = _classifier(store, np.ones(3, bool))
    names = arrays["names"].tolist()
    wrong = {**arrays, "labels": (arrays["labels"] + np.array([0, 1, 0])) % 3}
    _plant(tmp_path, store, wrong)
    _plant(tmp_path, store, {**arrays, "labels": arrays["labels"][:2]})
    twice = {**arrays, "names": np.array([names[0], names[0], names[2]])}
    _plant(tmp_path, store, twice)
    found = _audit(tmp_path, dataset)
    assert found.runs == ()
    whys = [skipped.why for skipped in found.skipped]
    assert whys[0] == (
        f"its predictions have other labels than the data set for 1 of 3 images: {names[1]}"
    )
    assert whys[1] == "its predictions do not have one label for each image"
    assert whys[2] == "its predictions are not of the images that its split reports"
    text = page.to_markdown(data_page.page(found))
    assert f"for 1 of 3 images: {names[1]}" in text


def test_the_gallery_shows_contradicting_labels_first(tmp_path: Path, breast: Any) -> None:
    found = _audit(tmp_path, breast[0])
    assert data.chosen(found).pairs[0].conflicting
    root, paths = tmp_path / "data", [tmp_path / f"{i}.png" for i in range(3)]
    for path, images in zip(paths, (True, True, False), strict=True):
        assert data.draw(root, found, path, with_images=images) == path
    assert paths[0].read_bytes() == paths[1].read_bytes() != paths[2].read_bytes()
    with Image.open(paths[0]) as drawn:
        assert drawn.width > 400 and drawn.height > 100
    lonely = replace(found, pairs=())
    assert data.draw(root, lonely, tmp_path / "no.png", with_images=True) is None
    assert not (tmp_path / "no.png").exists()


def test_json_holds_what_the_page_says(tmp_path: Path, breast: Any) -> None:
    found = _audit(tmp_path, breast[0])
    values = json.loads(json.dumps(found.to_json()))
    assert values["fingerprint"] == breast[1].manifest.fingerprint
    assert values["pairs_by_kind"] == {"identical": 1, "near": 1, "looser": 0}
    assert [p["kind"] for p in values["pairs"]] == ["identical", "near"]
    assert {frozenset((p["first"], p["second"])) for p in values["pairs"]} == {
        frozenset(("benign (1)", "malignant (1)")),
        frozenset(("benign (2)", "benign (3)")),
    }
    assert [c["classes"] for c in values["label_conflicts"]] == [["benign", "malignant"]]
    assert [len(u["names"]) for u in values["never_seen_by_released_code"]] == [1, 4]


def _many(found: DataAudit, count: int, **changes: Any) -> tuple[TwinPair, ...]:
    pair = found.conflicts[0]
    return tuple(
        replace(pair, first=f"first {i}", second=f"second {i}", distance=i, **changes)
        for i in range(count)
    )


def test_the_gallery_says_how_many_of_how_many_it_shows(tmp_path: Path, breast: Any) -> None:
    found = _audit(tmp_path, breast[0])
    assert data.chosen(found).text.startswith("label conflicts: 1 of 1 shown; ")
    # Five conflicts are all shown; of thirteen twelve are, and the text says so.
    five = data.chosen(replace(found, pairs=_many(found, 5)))
    assert len(five.pairs) == 5
    assert "label conflicts: 5 of 5 shown" in five.text
    agreeing = _many(found, 9, classes=("benign", "benign"), parts=("train", "eval"))
    many = data.chosen(replace(found, pairs=(*_many(found, 13), *agreeing)))
    assert (len(many.conflicts), len(many.across)) == (12, 6)
    assert many.text == ("label conflicts: 12 of 13 shown; other twins across parts: 6 of 9 shown")
    text = page.to_markdown(
        data_page.page(replace(found, pairs=_many(found, 13)), picture="audit_busi.png")
    )
    assert "label conflicts: 12 of 13 shown" in text
    assert "](<audit_busi.png>)" in text
    drawn = page.to_latex(data_page.page(found, picture="audit_busi.png"), "audit_busi")
    assert r"\detokenize{audit_busi.png}" in drawn["audit_busi.tex"]
    assert ".png" not in page.to_markdown(data_page.page(found))


def test_the_page_lists_the_first_pairs_of_each_kind(tmp_path: Path, breast: Any) -> None:
    found = _audit(tmp_path, breast[0])
    near = _many(found, 25, identical=False, near=True, classes=("benign", "normal"))
    looser = _many(found, 3, identical=False, near=False)
    changed = replace(found, pairs=(*near, *looser))
    sections = {s.title: s for s in data_page.page(changed).sections}
    assert "Pairs: identical pixels" not in sections
    listed = sections["Pairs: near-twins"]
    assert len(listed.rows) == 20
    assert "20 of 25 shown" in listed.text[0]
    assert listed.rows[0][:3] == ("first 0", "second 0", "benign / normal")
    assert "3 of 3 shown" in sections["Pairs: by the looser rule alone"].text[0]
    assert len(changed.to_json()["pairs"]) == 28


def test_groups_are_named_in_the_heading(tmp_path: Path, breast: Any) -> None:
    dataset, store = breast
    _plant(tmp_path, store, _classifier(store, np.ones(3, bool)))
    found = _audit(tmp_path, dataset)
    run = _last(found)
    lesions = replace(found, dataset=replace(dataset, group_title="lesion"))
    grouped = replace(lesions, runs=(replace(run, without_groups=run.all),))
    section = data_page.page(grouped).sections[-1]
    assert section.head[-1] == "without twins and shared lesions"
    assert any("every image of a lesion of which training has an image" in t for t in section.text)
    assert data_page.page(found).sections[-1].head[-1] == "the twins alone"
