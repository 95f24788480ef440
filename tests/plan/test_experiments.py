"""Conformance of every experiment, and Table 1 against the paper's text."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from harness.canonical import canonical
from harness.data import registry
from harness.errors import UserError
from harness.evaluate.registry import known
from harness.methods.baselines import mocov3
from harness.methods.msmae import paper
from harness.plan import catalog, override
from harness.spec import profiles
from harness.spec.profile import Profile, Scale
from harness.spec.recipe import Recipe, Stage
from harness.spec.run import Run
from harness.spec.sweep import OBJECTIVES
from harness.spec.table import Row, Table
from harness.sweep.design import settings

EXPERIMENTS = sorted(c.name for c in catalog.experiments().values() if not c.sweep)
SWEEPS = sorted(c.name for c in catalog.experiments().values() if c.sweep)

# The paper, Table 1: Messidor-2, BTMD, HAM10000.
TABLE1 = {
    "mocov3": ("61.30", "89.01", "76.24"),
    "contrastivecrop": ("59.77", "95.96", "75.31"),
    "simclr": ("59.75", "90.62", "75.00"),
    "mae": ("60.54", "82.46", "75.01"),
    "simmim": ("58.43", "70.33", "70.08"),
    "amt": ("60.92", "98.17", "81.53"),
    "vit": ("59.77", "89.78", "79.54"),
    "resnet50": ("58.43", "69.18", "67.01"),
    "swin": ("58.43", "91.00", "81.70"),
    "msmae": ("63.41", "98.39", "81.97"),
}

# The paper, Table 3: Messidor-2.
TABLE3 = {
    "Baseline (I)": "60.54",
    "II": "60.92",
    "III": "62.07",
    "IV": "60.58",
    "V": "61.39",
    "VI": "63.41",
}


# The paper, Table 2: F1 and IoU on BUSI.
TABLE2 = {
    "baseline": ("56.15", "43.33"),
    "mae": ("57.09", "43.95"),
    "amt": ("56.17", "43.07"),
    "vit": ("56.22", "42.66"),
    "msmae": ("60.66", "45.53"),
}

# The paper, Table 7: BUSI.
TABLE7 = {"mae": "72.96", "amt": "66.09", "vit": "74.25", "msmae": "77.68"}


@pytest.fixture(params=EXPERIMENTS)
def experiment(request: pytest.FixtureRequest) -> tuple[str, Table]:
    return catalog.load(request.param)


def _texts(row: Row) -> dict[str, str]:
    """Return the row's numbers as they are printed."""
    return {name: number.text for name, number in row.printed_numbers.items()}


def test_docstrings_give_the_command_and_what_to_expect(experiment: tuple[str, Table]) -> None:
    name, _ = experiment
    text = catalog.experiments()[name].path.read_text()
    assert f"harness run {name}" in text
    assert "Expected" in text


@pytest.mark.parametrize("name", SWEEPS)
def test_sweeps_conform(name: str) -> None:
    text = catalog.experiments()[name].path.read_text()
    assert f"harness sweep {name}" in text
    assert "Expected" in text
    _, sweep = catalog.load_sweep(name)
    assert sweep.dataset in registry.datasets()
    assert set(sweep.objectives) <= set(OBJECTIVES)
    names = {d.name for d in sweep.space.dimensions}
    assert sweep.heatmap is None or set(sweep.heatmap) <= names
    assert sweep.space.grid()
    for values in sweep.space.corners():
        (chain,) = override.apply([sweep.row.chain()], settings(sweep.space, values))
        for profile in profiles.PROFILES.values():
            assert all(canonical(profile.scaled(stage)) for stage in chain)


@pytest.mark.parametrize("name", SWEEPS)
def test_sweeps_are_no_tables_and_tables_no_sweeps(name: str) -> None:
    with pytest.raises(UserError, match=f"is a sweep, not a table: `harness sweep {name}`"):
        catalog.load(name)
    with pytest.raises(UserError, match="is a table, not a sweep: `harness run table1`"):
        catalog.load_sweep("table1")


def test_names_are_unique_and_known(experiment: tuple[str, Table]) -> None:
    _, table = experiment
    columns = {column.name for column in table.columns}
    assert len(columns) == len(table.columns)
    for column in table.columns:
        assert column.dataset in registry.datasets()
        assert column.metric in known() or column.cost is not None
    for row in table.rows:
        assert re.fullmatch(r"[a-z0-9_.-]+", row.name)
        costs = {column.metric for column in table.columns if column.cost}
        assert row.printed.keys() <= columns | costs
        assert set(row.modules) <= set(table.modules)
        assert all(0 <= number.value <= 100 for number in row.printed_numbers.values())
    assert table.references
    groups = {row.name: row.group for row in table.rows if row.stages is not None}
    assert set(table.references) <= groups.keys()
    own = [groups[name] for name in table.references]
    assert len(set(own)) == len(own)  # one a group
    if table.subtables:
        assert set(own) == set(table.subtables)


@pytest.mark.parametrize("profile", profiles.PROFILES.values(), ids=lambda p: p.name)
def test_every_stage_scales_and_has_a_key(experiment: tuple[str, Table], profile: object) -> None:
    assert isinstance(profile, Profile)
    for row in experiment[1].rows:
        for stage in row.stages or ():
            scaled = profile.scaled(stage)
            assert 1 <= scaled.recipe.epochs <= stage.recipe.epochs
            assert scaled.recipe.batch_size <= stage.recipe.batch_size
            assert canonical(scaled)
            if profile.name == "paper":
                assert scaled == stage


def test_profiles_scale_the_rate_of_adam_by_a_factor_and_of_sgd_by_the_batch() -> None:
    scale = Scale(batch_size=64, lr=3.0)
    profile = dataclasses.replace(profiles.PAPER, pretrain=scale)
    for optimizer, rule, expected in (
        ("adamw", "linear", 0.3),
        ("sgd", "linear", 0.05),
        ("lars", "sqrt", 0.05),
    ):
        recipe = Recipe(
            epochs=10,
            batch_size=256,
            base_lr=0.1,
            optimizer=optimizer,  # type: ignore[arg-type]
            lr_rule=rule,  # type: ignore[arg-type]
        )
        scaled = profile.scaled(Stage(phase="pretrain", method=paper.DESCRIBED, recipe=recipe))
        assert (scaled.recipe.batch_size, recipe.lr) == (64, 0.1)
        assert scaled.recipe.lr == pytest.approx(expected)


def test_profiles_keep_the_reach_of_momenta_in_steps() -> None:
    """A fifth of the epochs at a quarter of the batch are 0.8 times the steps."""
    profile = dataclasses.replace(profiles.PAPER, pretrain=Scale(epochs=1 / 5, batch_size=64))
    stage = mocov3.stages()[0]
    assert (stage.recipe.batch_size, stage.method.momentum) == (256, 0.99)  # type: ignore[attr-defined]
    scaled = profile.scaled(stage)
    assert scaled.method.momentum == pytest.approx(0.99 ** (1 / 0.8), rel=1e-12)  # type: ignore[attr-defined]


def test_table1_prints_the_papers_numbers() -> None:
    _, table = catalog.load("table1")
    printed = {
        row.name: tuple(_texts(row)[name] for name in ("messidor2", "btmd", "ham10000"))
        for row in table.rows
    }
    assert printed == TABLE1
    assert table.rows[-1].name == "msmae"


def test_table3_prints_the_papers_numbers() -> None:
    _, table = catalog.load("table3")
    printed = [(row.label, tuple(_texts(row).values())) for row in table.rows[:6]]
    plain, sam = ("16.86", "9.765"), ("4.37", "8.671")
    costs = [plain, plain, plain, sam, sam, sam]
    assert printed == [(n, (v, *c)) for (n, v), c in zip(TABLE3.items(), costs, strict=True)]
    assert [row.modules for row in table.rows[:6]] == [
        ("P-RM",),
        ("P-AMT",),
        ("P-SAM",),
        ("P-RM", "F-SAM"),
        ("P-AMT", "F-SAM"),
        ("P-SAM", "F-SAM"),
    ]
    assert [row.name for row in table.rows[6:]] == ["released", "amt-crop"]
    assert not any(row.printed for row in table.rows[6:])


def test_table7_prints_the_papers_numbers_over_stages_of_table1() -> None:
    _, table = catalog.load("table7")
    assert {row.name: _texts(row)["busi"] for row in table.rows} == TABLE7
    table1, table7 = _stages("table1"), _stages("table7")
    assert all(table7[name] == table1[name] for name in TABLE7)


def test_table2_prints_the_papers_numbers_over_stages_of_table7() -> None:
    _, table = catalog.load("table2")
    printed = {row.name: _texts(row) for row in table.rows if row.printed}
    assert printed == {n: {"busi.f1": f1, "busi.iou": iou} for n, (f1, iou) in TABLE2.items()}
    table2, table7 = _stages("table2"), _stages("table7")
    assert len(table2["baseline"]) == 1
    assert all(len(table2[name]) == 2 and table2[name][0] == table7[name][0] for name in TABLE7)
    assert len({key for keys in table2.values() for key in keys}) == 1 + 5 * 2


def _stages(experiment: str) -> dict[str, tuple[str, ...]]:
    """Return the keys of every row's stages on one data set."""
    keys = {}
    for row in catalog.load(experiment)[1].rows:
        if row.stages is not None:
            run = Run(
                dataset="messidor2",
                data="d",
                split="paper",
                profile=profiles.PAPER,
                stages=row.stages,
                seed=0,
            )
            keys[row.name] = tuple(run.key(num_stages + 1) for num_stages in range(len(row.stages)))
    return keys


def test_table3_shares_its_stages_with_table1_and_the_controls() -> None:
    table1, table3, controls = (_stages(name) for name in ("table1", "table3", "controls"))
    for ours, theirs in (("random-plain", "mae"), ("amt-plain", "amt"), ("sam-sam", "msmae")):
        assert table3[ours] == table1[theirs]
    # MAE and AMT use no labels (lambda 0); SAM as described does (lambda 0.1).
    for masks, weight in (("random", "0"), ("amt", "0"), ("sam", "0.1")):
        for finetuning in ("plain", "sam"):
            assert table3[f"{masks}-{finetuning}"] == controls[f"{masks}-{weight}-{finetuning}"]
    assert len({key for keys in table3.values() for key in keys}) == 3 + 6 + 2 + 2


def test_table1_uses_the_papers_recipes() -> None:
    _, table = catalog.load("table1")
    for row in table.rows:
        for stage in row.stages or ():
            recipe = stage.recipe
            if stage.phase == "pretrain" and row.name in ("mae", "amt", "msmae"):
                # Table 4
                assert (recipe.optimizer, recipe.base_lr) == ("adamw", 1e-3)
                assert (recipe.weight_decay, recipe.betas) == (0.05, (0.9, 0.95))
                assert (recipe.batch_size, recipe.epochs, recipe.warmup_epochs) == (64, 300, 40)
            if stage.phase == "finetune":
                # Table 5
                assert (recipe.optimizer, recipe.base_lr) == ("adamw", 1e-3)
                assert (recipe.weight_decay, recipe.layer_decay) == (0.05, 0.75)
                assert (recipe.batch_size, recipe.epochs, recipe.warmup_epochs) == (256, 100, 5)


def test_a_file_of_ones_own_works_by_path(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(
        "from dataclasses import dataclass\n"
        "from harness.spec.table import Column, Row, Table\n"
        "from harness.methods.msmae import paper\n"
        "@dataclass(frozen=True)\nclass Note:\n    text: str\n"
        "EXPERIMENT = Table(title='Mine', source='Table 1', columns=(Column(dataset='busi'),),\n"
        "    rows=(Row(name='ours', label='Ours', stages=paper.described()),))\n"
    )
    name, table = catalog.load(str(path))
    assert (name, table.title) == ("mine", "Mine")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1\n", "EXPERIMENT must be a Table or a Sweep, not nothing"),
        ("EXPERIMENT = 3\n", "EXPERIMENT must be a Table or a Sweep, not int"),
        ("def broken(:\n", "is not valid Python.*line 1"),
    ],
)
def test_files_that_build_no_experiment_are_explained(
    tmp_path: Path, text: str, message: str
) -> None:
    path = tmp_path / "mine.py"
    path.write_text(text)
    with pytest.raises(UserError, match=message):
        catalog.load(str(path))


def test_unknown_experiments_are_answered_with_a_guess() -> None:
    with pytest.raises(UserError, match="No experiment 'tabel1'. Did you mean 'table1'"):
        catalog.load("tabel1")
    with pytest.raises(UserError, match="No experiment file 'no/such.py'"):
        catalog.load("no/such.py")


JUDGED = """
from harness.api import Claim, Column, Margin, Ordering, Row, Table

EXPERIMENT = Table(
    title="Mine",
    source="",
    columns=(Column(dataset="btmd"),),
    rows=(Row(name="one", label="1", stages=None), Row(name="two", label="2", stages=None)),
    {given},
)
"""


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("subject='onee'", "No row for Table.subject 'onee'. Did you mean 'one'?"),
        ("margins={'btmdd': Margin(value=1, source='')}", "No column for Table.margins 'btmdd'."),
        (
            "claims=(Claim(name='c', text='', source='', decided_by=("
            "Ordering(row='one', than='too', column='btmd'),)),)",
            "No row for the claim 'c' 'too'. Did you mean 'two'?",
        ),
        (
            "claims=(Claim(name='c', text='', source='', decided_by=("
            "Ordering(row='one', than='two', column='busi'),)),)",
            "No column for the claim 'c' 'busi'.",
        ),
    ],
)
def test_names_by_which_nothing_would_be_judged_are_refused(
    tmp_path: Path, given: str, said: str
) -> None:
    file = tmp_path / "mine.py"
    file.write_text(JUDGED.format(given=given))
    with pytest.raises(UserError) as caught:
        catalog.load(str(file))
    assert said in str(caught.value)
    assert "Known: " in str(caught.value)
