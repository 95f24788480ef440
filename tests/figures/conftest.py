"""Finished stores of tiny trainings, from which all figures are drawn."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import chdir
from pathlib import Path

import pytest

from harness.cli.main import main
from harness.figures import registry
from harness.figures.values import Drawing, Missing, Request
from harness.plan import catalog, plan
from harness.plan.options import Options
from harness.provenance import choose_device
from harness.report import collect
from harness.spec import profiles
from tests import prepared
from tests.figures.long_labels import LONG

OWN = '''"""Masks in fine-tuning, and a plain MAE, on one data set; no paper prints them."""

from dataclasses import replace

from harness.api import Column, Row, Table, mae, paper

pretrain, sam = paper.described()
plain = paper.finetune_plain()

EXPERIMENT = Table(
    title="Own <table> & its $figures$",
    source="",
    columns=(Column(dataset="btmd"),),
    rows=(
        Row(name="mae", label="MAE", stages=mae.stages()),
        Row(name="plain", label="MSMAE & no masks $x_1$", stages=(pretrain, plain)),
        Row(name="msmae", label="MSMAE, masks", stages=(pretrain, sam)),
    ),
)
'''

SHORT = (
    *("--set", "pretrain.recipe.epochs=3", "--set", "pretrain.recipe.warmup_epochs=1"),
    *("--set", "finetune.recipe.epochs=2", "--set", "pretrain.method.random_epochs=1"),
    *("--set", "pretrain.method.update_interval=1"),
)
SEEDS = (0, 1)

Ask = Callable[..., Request]


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an own table, its finished runs with maps, and runs of table 2."""
    folder = tmp_path_factory.mktemp("figures")
    for family in ("phantom-mri", "phantom-ultrasound"):
        prepared.ensure(folder / "data", family)
    (folder / "mine.py").write_text(OWN)
    (folder / "long.py").write_text(LONG)
    run = ("run", "mine.py", "--profile", "smoke", *SHORT, "--track", "off", "--keep", "maps")
    table2 = ("run", "table2", "--profile", "smoke", *SHORT, "--rows", "baseline,msmae")
    with chdir(folder):
        assert main([*run, "--seeds", "0-1"]) == 0
        assert main([*table2, "--seeds", "0", "--track", "off"]) == 0
    return folder


@pytest.fixture(scope="session")
def ask(finished: Path) -> Ask:
    """Return a function that makes requests for figures of these runs."""

    def request(
        experiment: str = "mine.py",
        *,
        images: bool = True,
        rows: tuple[str, ...] | None = None,
        seeds: tuple[int, ...] = SEEDS,
        runs: str = "runs",
    ) -> Request:
        options = Options(
            profile=profiles.SMOKE,
            rows=rows,
            seeds=seeds,
            overrides=SHORT[1::2],
            data=finished / "data",
            runs=finished / runs,
        )
        path = str(finished / experiment) if experiment.endswith(".py") else experiment
        made = plan.make(*catalog.load(path), options)
        return Request(
            plan=made,
            context=collect.context(made, command="harness figures", device="a processor"),
            experiment=path,
            device=choose_device(),
            images=images,
            again="harness run mine.py",
        )

    return request


@pytest.fixture(scope="session")
def table2(ask: Ask) -> Request:
    """A request for the figures of table 2."""
    return ask("table2", rows=("baseline", "msmae"), seeds=(0,))


def drawn(request: Request, *names: str) -> list[Drawing]:
    """Return the drawings of figures."""
    made = registry.drawings(request, names or None)
    return [one for one in made if isinstance(one, Drawing)]


def missing(request: Request, *names: str) -> list[Missing]:
    """Return what is missing of figures."""
    made = registry.drawings(request, names or None)
    return [one for one in made if isinstance(one, Missing)]
