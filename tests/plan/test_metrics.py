"""``--metrics`` chooses columns; the runs, their keys and the paper's numbers stay."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from harness.errors import UserError
from harness.plan import catalog, outputs, plan
from harness.plan.options import Options
from harness.plan.plan import Plan
from harness.spec import profiles
from harness.spec.table import Column, Row
from tests import prepared

SETS = ("phantom-mri", "phantom-ultrasound")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two prepared data sets; planning changes nothing in them."""
    made = tmp_path_factory.mktemp("metrics")
    for name in SETS:
        prepared.ensure(made / "data", name)
    return made


def _plan(folder: Path, name: str, *metrics: str, **changes: object) -> Plan:
    options = Options(
        profile=profiles.SMOKE,
        datasets=SETS[1:] if name == "table2" else SETS,
        metrics=metrics or None,
        data=folder / "data",
        runs=folder / "runs",
    )
    return plan.make(*catalog.load(name), replace(options, **changes))  # type: ignore[arg-type]


def test_every_data_set_gets_every_metric_in_the_order_given(folder: Path) -> None:
    made = _plan(folder, "table1", "kappa", "accuracy", "kappa")
    shown = [(c.column.dataset, c.column.metric) for c in made.columns]
    assert shown == [(d, m) for d in SETS for m in ("kappa", "accuracy")]


def test_the_same_stages_are_trained(folder: Path) -> None:
    before = [s.key for s in _plan(folder, "table1").stage_runs]
    assert [s.key for s in _plan(folder, "table1", "ece", "macro_f1").stage_runs] == before


def test_only_the_papers_own_metric_has_printed_numbers(folder: Path) -> None:
    made = _plan(folder, "table1", "accuracy", "balanced_accuracy", datasets=("btmd",))
    rows: tuple[Row, ...] = made.table.rows
    printed = {c.column.metric: [] for c in made.columns}  # type: ignore[var-annotated]
    for column in made.columns:
        printed[column.column.metric] += [row.printed_in(column.column) for row in rows]
    assert any(number is not None for number in printed["accuracy"])
    assert set(printed["balanced_accuracy"]) == {None}


def test_a_column_of_the_table_keeps_its_title_and_others_have_none(folder: Path) -> None:
    name, table = catalog.load("table1")
    titled = replace(table, columns=(Column(dataset="phantom-mri", title="Brains"),))
    options = _plan(folder, "table1", "accuracy", "kappa").options
    shown = plan.make(name, titled, options).columns
    assert [c.column.title for c in shown[:2]] == ["Brains", ""]


def test_costs_can_be_named_beside_metrics(folder: Path) -> None:
    made = _plan(folder, "table1", "accuracy", "paper_training_macs", datasets=("phantom-mri",))
    assert [c.column.metric for c in made.columns] == ["accuracy", "paper_training_macs"]


@pytest.mark.parametrize(
    ("table", "metric", "told"),
    [
        ("table1", "iou", "--metrics iou compares masks, but the rows of Table 1 predict classes"),
        ("table2", "kappa", "--metrics kappa compares classes, but the rows of Table 2 predict"),
        ("table1", "kapa", "No metric 'kapa'. Did you mean 'kappa'?"),
        ("table1", "training_macs", "--metrics training_macs has costs alone; add one of accuracy"),
    ],
)
def test_what_does_not_fit_is_one_line(folder: Path, table: str, metric: str, told: str) -> None:
    with pytest.raises(UserError) as error:
        _plan(folder, table, metric)
    assert str(error.value).startswith(told)
    assert "\n" not in str(error.value)


def test_figures_need_the_accuracy_that_they_draw(folder: Path) -> None:
    with pytest.raises(UserError, match="add accuracy to --metrics"):
        outputs.figures(_plan(folder, "table1", "kappa"))
    assert outputs.figures(_plan(folder, "table1", "kappa", "accuracy"))
