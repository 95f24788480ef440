"""Every figure from tiny finished runs: drawn, without overlaps, and with the records' numbers."""

from __future__ import annotations

import csv
import io
import json
import re
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.cli.main import main
from harness.figures import registry, write
from harness.figures.values import Drawing, Request
from harness.report import style
from harness.report.style import Style
from harness.stats import intervals
from harness.store import maps
from harness.store.predictions import read as read_predictions
from harness.store.record import Records
from tests.figures.conftest import SEEDS, Ask, drawn, missing

pytestmark = pytest.mark.slow

OF_OWN = (
    *("1", "2", "4", "5", "6", "7", "8", "11", "12", "13"),
    *("reconstructions", "confusion", "reliability", "curves", "forest"),
)
"""Figures that a user's own table has on BTMD."""

OF_TABLE2 = ("9", "10", "lesions")


def _one(request: Request, name: str) -> Drawing:
    (drawing,) = drawn(request, name)
    return drawing


def _data(drawing: Drawing) -> Any:
    return json.loads(write.to_json(drawing))


def _overlaps(drawing: Drawing, how: Style) -> list[tuple[str, str]]:
    with style.applied(how):
        return style.overlaps(drawing.draw(how))  # type: ignore[no-any-return]


def test_the_registry_has_the_papers_figures_and_more() -> None:
    numbers = [str(n) for n in range(1, 16) if n != 3]  # figure 3 is a drawing of the method
    words = ["lesions", "reconstructions", "confusion", "reliability", "curves", "forest"]
    assert sorted(registry.FIGURES) == sorted([*numbers, *words])
    assert {*OF_OWN, *OF_TABLE2, "14", "15"} == set(registry.FIGURES)
    assert [f.name for f in registry.chosen(["figure7", "curves"])] == ["7", "curves"]


@pytest.mark.parametrize("how", [Style(), Style(width=6.75, font="serif")], ids=["column", "page"])
def test_every_figure_is_drawn_without_overlaps(ask: Ask, table2: Request, how: Style) -> None:
    for request, names in ((ask(), OF_OWN), (table2, OF_TABLE2)):
        for name in names:
            drawing = _one(request, name)
            assert drawing.caption and drawing.rows, name
            assert (name, _overlaps(drawing, how)) == (name, [])
            assert len({tuple(row) for row in drawing.rows}) == 1, name


def test_files_say_nothing_of_the_machine_and_are_the_same_again(
    ask: Ask, finished: Path, tmp_path: Path
) -> None:
    drawings = [drawing for name in ("7", "13", "forest") for drawing in drawn(ask(), name)]
    for drawing in drawings:
        first = write.write(drawing, tmp_path / "a", Style(), style.FORMATS)
        second = write.write(drawing, tmp_path / "b", Style(), style.FORMATS)
        assert [p.suffix for p in first] == [".svg", ".pdf", ".png", ".json", ".csv", ".txt"]
        for one, other in zip(first, second, strict=True):
            content = one.read_bytes()
            assert content == other.read_bytes()
            assert (
                str(finished).encode() not in content and str(Path.home()).encode() not in content
            )
            assert not re.search(rb"dc:date|CreationDate|ModDate|Matplotlib v", content)
        svg = first[0].read_text()
        assert 'width="234pt"' in svg  # 3.25 inches of 72 points
        pdf = first[1].read_bytes()
        assert b"/FontFile2" in pdf and b"/Type3" not in pdf  # TrueType, embedded
        wide, _ = struct.unpack(">II", first[2].read_bytes()[16:24])
        assert wide == 975  # 3.25 inches of 300 pixels
        caption = first[5].read_text()
        assert "$figures$" in caption or drawing.name.endswith("phantom-mri")
        # The caption is beside the figure, not in it.
        assert "generated images" not in svg


def test_curves_are_those_of_the_records(ask: Ask) -> None:
    request = ask()
    records = Records(request.plan.options.runs)
    panels = _data(_one(request, "curves"))["panels"]
    assert [(p["phase"], p["figure"]) for p in panels] == [
        ("pretrain", "loss/total"),
        ("finetune", "loss/total"),
        ("finetune", "eval/accuracy"),
    ]
    for panel in panels:
        for line in panel["lines"]:
            assert [s["seed"] for s in line["stages"]] == list(SEEDS)
            for stage in line["stages"]:
                record = records.read(stage["key"])
                assert record is not None
                expected = [epoch[panel["figure"]] for epoch in record.finished.history]
                assert stage["values"] == expected
    # The pre-training that two rows share is one line, which names both.
    assert [line["rows"] for line in panels[0]["lines"]] == [["mae"], ["plain", "msmae"]]
    losses = _data(_one(request, "4"))["panels"]
    assert [p["figure"] for p in losses] == ["loss/reconstruction", "loss/classification"]
    assert [line["rows"] for p in losses for line in p["lines"]] == [["plain", "msmae"]] * 2


def test_forest_and_figure_6_show_the_accuracies_of_the_records(ask: Ask) -> None:
    request = ask()
    records = Records(request.plan.options.runs)
    accuracies: dict[str, list[float]] = {}
    for cell_run in request.plan.cell_runs:
        record = records.read(cell_run.run.key())
        assert record is not None
        value = record.evaluation().last.metrics["accuracy"]
        assert value is not None
        accuracies.setdefault(cell_run.row.name, []).append(100 * value)
    (column,) = _data(_one(request, "forest"))["columns"]
    for row in column["rows"]:
        values = accuracies[row["row"]]
        assert row["values"] == pytest.approx(values)
        assert row["mean"] == pytest.approx(np.mean(values))
        interval = intervals.t_interval(values)
        assert row["interval"] == pytest.approx([interval.low, interval.high])
        assert row["paper"] is None and row["verdict"] is None  # of a table that prints nothing
    (pair,) = _data(_one(request, "6"))["pairs"]
    assert [(r["row"], r["masks"]) for r in pair["rows"]] == [("plain", False), ("msmae", True)]
    assert [r["values"] for r in pair["rows"]] == [
        pytest.approx(accuracies["plain"]),
        pytest.approx(accuracies["msmae"]),
    ]


def test_confusion_and_reliability_are_those_of_the_predictions(ask: Ask) -> None:
    request = ask()
    records = Records(request.plan.options.runs)
    for row in _data(_one(request, "confusion"))["rows"]:
        for run in row["runs"]:
            record = records.read(run["key"])
            assert record is not None
            path = records.predictions_path(run["key"])
            arrays = read_predictions(path, record.finished.predictions or "")
            labels, classes = arrays["labels"], arrays["last"].argmax(axis=1)
            counted = np.zeros((4, 4), int)
            np.add.at(counted, (labels, classes), 1)
            assert run["confusion"] == counted.tolist()
    for row in _data(_one(request, "reliability"))["rows"]:
        assert sum(b["images"] for b in row["bins"]) == len(SEEDS) * len(labels)
        right = sum(b["images"] * (b["accuracy"] or 0.0) for b in row["bins"])
        assert right / (len(SEEDS) * len(labels)) == pytest.approx(row["accuracy"])


def test_attention_is_of_the_trained_encoder(ask: Ask) -> None:
    request = ask()
    few, many = (_data(_one(request, name)) for name in ("1", "11"))
    assert [r["row"] for r in few["rows"]] == ["mae", "plain"]
    assert few["images"] == many["images"][:3]
    for some, more in zip(few["rows"], many["rows"], strict=True):
        maps_ = np.asarray(more["attention"])
        assert np.allclose(some["attention"], maps_[:3])
        assert (maps_ > 0).all() and (maps_.sum((1, 2)) < 1).all()  # [CLS] also attends to itself
    # The maps after the last epoch are those of the final weights, which another way gives.
    kept = maps.read(request.plan.options.runs, few["rows"][0]["key"])
    assert kept is not None and kept.epochs.tolist() == [0, 1, 2]
    shown = _data(_one(request, "2"))
    assert shown["epochs"] == [1, 2, 3] and [r["row"] for r in shown["rows"]] == ["mae", "plain"]
    means = kept.attention[:, 0].mean(axis=1)
    assert np.allclose(shown["rows"][0]["maps"], means)


def test_weights_are_those_that_masks_followed(ask: Ask) -> None:
    request = ask()
    last = _data(_one(request, "12"))["rows"]
    assert np.all(np.asarray(last[0]["maps"]) == 1.0)  # MAE masks uniformly
    guided = np.asarray(last[1]["maps"])
    assert guided.min() == 0.0 and guided.max() == 1.0
    by_epoch = _data(_one(request, "5"))
    assert [r["row"] for r in by_epoch["rows"]] == ["plain"]
    assert by_epoch["epochs"] == [2, 3]  # the first epoch masks uniformly
    over = _data(_one(request, "13"))
    weights = np.asarray(over["weight"])
    assert weights.shape == (4, 8, 8) and weights.min() == 0.0 and weights.max() == 1.0
    # Paper, eq. 5: the mean of the heads, scaled to 0..1 in each image.
    mean = np.asarray(over["attention"])
    low, high = (f(mean, axis=(1, 2), keepdims=True) for f in (np.min, np.max))
    assert np.allclose(weights, (mean - low) / (high - low), atol=1e-5)


def test_segmentations_are_the_kept_ones_and_lesions_are_outlined(table2: Request) -> None:
    few, many = (_data(_one(table2, name)) for name in ("9", "10"))
    assert few["images"] == many["images"][:3] and len(many["images"]) == 6
    assert all(0 <= v <= 1 for row in many["rows"] for v in row["iou"] if v is not None)
    lesions = _one(table2, "lesions")
    assert "Outline: the true lesion." in lesions.caption


def test_pictures_show_no_image_where_none_may_be_shown(ask: Ask) -> None:
    bare = ask(images=False)
    with style.applied(Style()):
        whole, without = (_one(r, "1").draw(Style()) for r in (ask(), bare))
    assert len(whole.axes) == 9 and len(without.axes) == 6  # 3 images, 2 methods
    (line,) = missing(bare, "reconstructions")
    assert "--no-images" in line.why
    assert drawn(bare, "2", "5", "12", "13")
    of_table2 = ask("table2", rows=("baseline", "msmae"), seeds=(0,), images=False)
    (segmented,) = drawn(of_table2, "9")
    with style.applied(Style()):
        assert len(segmented.draw(Style()).axes) == 9  # truth and 2 predictions of 3 images


def test_what_was_not_kept_says_what_to_run(ask: Ask, finished: Path) -> None:
    empty = ask(runs="none")
    told = missing(empty)
    names = list(dict.fromkeys(line.name for line in told))
    assert not drawn(empty) and names == list(registry.FIGURES)
    lines = {name: " ".join(line.why for line in told if line.name == name) for name in names}
    for name in ("1", "4", "8", "curves", "forest", "confusion", "2"):
        assert "harness run mine.py" in lines[name], name
    assert "--keep maps" in lines["2"] and "table2" in lines["9"]
    key = _data(_one(ask(), "1"))["rows"][0]["key"]
    weights = finished / "runs/weights" / f"{key}.safetensors"
    hidden = weights.rename(weights.with_suffix(".away"))
    try:
        (line,) = missing(ask(), "1")
        assert line.why.startswith("mae on phantom-mri: its final weights are not kept")
    finally:
        hidden.rename(weights)


def test_the_command_writes_the_figures_of_an_own_table(
    finished: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.figures.conftest import SHORT

    monkeypatch.chdir(finished)
    words = ["figures", "mine.py", "--profile", "smoke", *SHORT, "--seeds", "0-1"]
    words += ["--name", "mine"]
    assert main([*words, "--figures", "curves,figure7", "--format", "svg", "--width", "84mm"]) == 0
    out, err = capsys.readouterr()
    folder = finished / "reports/smoke/figures"
    names = {"mine-curves-phantom-mri", "mine-figure7-phantom-mri"}
    assert {p.stem for p in folder.iterdir()} == names
    assert {p.suffix for p in folder.iterdir()} == {".svg", ".json", ".csv", ".txt"}
    assert "2 figures drawn" in out and "points on phantom-mri are open" in err
    rows = list(csv.DictReader(io.StringIO((folder / "mine-curves-phantom-mri.csv").read_text())))
    assert len(rows) == 2 * (2 * 3 + 3 * 2 + 3 * 2)  # seeds, lines and epochs of the panels
    assert main([*words, "--figures", "14"]) == 1
    assert "figure 14: mine has no column of ham10000" in capsys.readouterr().err
    assert main([*words, "--figures", "fig7"]) == 2
    assert "No figure 'fig7'" in capsys.readouterr().err
    for wrong in (["--width", "3"], ["--width", "900in"], ["--format", "bmp"]):
        with pytest.raises(SystemExit):
            main([*words, *wrong])
        assert "Traceback" not in capsys.readouterr().err
