"""Comparisons of rows and results: the tests of ties, and what is not paired."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import harness.api as h
from harness.stats.multiple import holm
from tests import plans, planted
from tests.conftest import Harness

CALL: dict[str, Any] = {
    "profile": "smoke",
    "rows": ["vit", "resnet50", "swin"],
    "datasets": "phantom-mri",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Records of three rows under three seeds; ``swin`` is far better than the others."""
    root = tmp_path_factory.mktemp("compare")
    plan = plans.of_table1("vit", "resnet50", "swin", root=root, seeds=(0, 1, 2))
    labels = planted.labels_of(plan)
    for number, cell_run in enumerate(plan.cell_runs):
        sure = 3.0 if cell_run.row.name == "swin" else 0.3
        names = planted.arrays(number, labels, sure=sure)
        store = h.open_store(root / "data", "phantom-mri")
        part = store.part("paper", "eval").take(np.arange(len(labels)))
        names["names"] = np.array(part.names) if len(part) == len(labels) else names["names"]
        planted.plant(plan, cell_run.run, names)
    return root


def _result(folder: Path, **more: Any) -> h.Result:
    places = {"data": folder / "data", "runs": folder / "runs"}
    return h.run("table1", **{**CALL, "seeds": 3, **more, **places})


def test_p_values_and_differences_are_those_of_the_table(folder: Path) -> None:
    result = _result(folder)
    (ties,) = result.parts[0].values["ties"]
    assert len(ties["pairs"]) == 3
    for pair in ties["pairs"]:
        (found,) = h.compare(result[pair["first"]], result[pair["second"]])
        assert found.difference == pytest.approx(pair["difference"], abs=1e-9)
        assert found.seeds_p == pair["seeds_p"]
        assert found.images_p == pair["images_p"]
        assert found.p == pair["p"]
        assert found.seeds == (0, 1, 2)
        assert found.n == len(planted.labels_of(result.parts[0].plan))  # type: ignore[arg-type]


def test_a_clear_difference_is_told_and_an_unclear_one_is_not(folder: Path) -> None:
    result = _result(folder)
    (clear,) = h.compare(result["vit"], result["swin"])
    assert clear.better == result["swin"].label
    assert clear.interval is not None
    assert clear.interval.low <= clear.difference <= clear.interval.high < 0
    (unclear,) = h.compare(result["vit"], result["resnet50"])
    assert unclear.better == "cannot tell"
    assert str(unclear).endswith(("cannot tell", ")"))
    frame = h.compare(result["vit"], result["swin"]).frame
    assert frame.loc[0, "difference"] == clear.difference


def test_one_seed_compares_the_trained_models_over_the_images(folder: Path) -> None:
    result = _result(folder, seeds=[1])
    (found,) = h.compare(result["swin"], result["vit"])
    assert (found.seeds_p, found.over, found.seeds) == (None, "images", (1,))
    assert found.interval is not None
    assert found.interval.low < found.difference < found.interval.high
    assert "one seed says nothing of methods" in found.why


def test_two_results_are_compared_row_by_row_under_holm(folder: Path) -> None:
    best = _result(folder, rule="last")
    found = h.compare(best, best)
    assert [d.difference for d in found] == [0.0, 0.0, 0.0]
    assert all(d.better == "cannot tell" for d in found)
    single = [h.compare(best[name], best[name])[0].p for name in best.rows]
    assert [d.p for d in found] == holm(single)
    assert found[0].a.endswith("(first)")


def test_loaded_tables_are_compared_alike(folder: Path, harness: Harness) -> None:
    words = ("--profile", "smoke", "--rows", "vit,resnet50,swin", "--datasets", "phantom-mri")
    places = ("--data", str(folder / "data"), "--runs", str(folder / "runs"))
    assert harness("report", "table1", *words, *places, "--out", "t", "--format", "json")[0] == 0
    (path,) = Path("t").glob("table1-part-*.json")
    live, loaded = _result(folder), h.load(path)
    one = h.compare(live["vit"], live["swin"])
    other = h.compare(loaded["vit"], loaded["swin"])
    assert str(one) == str(other)
    (mixed,) = h.compare(live["vit"], loaded["swin"])
    assert mixed.images_p is None
    assert "nothing shows that both are of the same images" in mixed.why


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"seeds": [7]}, "have no finished seed in common"),
        ({"rule": "best"}, "are not paired on phantom-mri: epoch that is shown last against best"),
        ({"split": "clean"}, "are not paired on phantom-mri: "),
    ],
)
def test_what_is_not_paired_is_refused_in_one_line(
    changes: dict[str, Any], says: str, folder: Path
) -> None:
    first = _result(folder)
    if "rule" in changes:
        other = _result(folder, **changes)
    else:
        given = {**CALL, "seeds": [0], **changes, "data": folder / "data"}
        other = h.load(folder / "runs", experiments="table1", **given)
    with pytest.raises(h.UserError) as raised:
        h.compare(first["vit"], other["swin"])
    assert says in str(raised.value)
    assert "\n" not in str(raised.value)


def test_what_is_no_row_is_refused(folder: Path) -> None:
    result = _result(folder)
    for a, b in ((result, result["vit"]), (result["vit"], "swin"), (3, 3)):
        with pytest.raises(h.UserError, match="compared"):
            h.compare(a, b)  # type: ignore[arg-type]
    with pytest.raises(h.UserError, match="No row 'swn'. Did you mean 'swin'"):
        result["swn"]
