"""Models by name, for counting and timing: rows of tables, their fine-tuning, timm's names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.errors import UserError, unknown
from harness.plan import catalog
from harness.plan.plan import resolve
from harness.spec.profile import Profile
from harness.spec.recipe import NeedsMasks, Stage

TABLE = "table1"
"""Table in which names without a table are looked up."""

ALIASES = {"vit_base_patch16": "vit", "swin_tiny": "swin"}
"""Rows by timm's name of the model; sizes are the profile's."""

FINETUNE = ".finetune"
"""Ending of the name of a row's last stage."""


@dataclass(frozen=True, kw_only=True)
class Model:
    """A stage of a table's row that can be counted or timed.

    Attributes:
        name: as given on the command line.
        label: description for printing.
        stage: the stage.
    """

    name: str
    label: str
    stage: Stage


def models(
    table: str = TABLE, profile: Profile | None = None, overrides: Sequence[str] = ()
) -> dict[str, Model]:
    """Return a table's models by name: a row's first stage, and as NAME.finetune its last.

    With a profile, stages have its settings and the overrides of ``--set``; otherwise, those of
    their recipes.
    """
    models_by_name: dict[str, Model] = {}
    rows = [row for row in catalog.load(table)[1].rows if row.stages]
    chains = [r.chain() for r in rows] if profile is None else resolve(rows, profile, overrides)
    for row, chain in zip(rows, chains, strict=True):
        label = f"{row.label} ({row.backbone}), {_kind(chain[0])}"
        models_by_name[row.name] = Model(name=row.name, label=label, stage=chain[0])
        if len(chain) > 1:
            name = row.name + FINETUNE
            label = f"{row.label} ({row.backbone}), fine-tuning"
            models_by_name[name] = Model(name=name, label=label, stage=chain[-1])
    if table == TABLE:
        for alias, name in ALIASES.items():
            models_by_name[alias] = Model(
                name=alias, label=models_by_name[name].label, stage=models_by_name[name].stage
            )
    return models_by_name


def _kind(stage: Stage) -> str:
    """Return the word for a stage's kind in a label."""
    if isinstance(stage.method, NeedsMasks):
        return "segmenter"
    return "pre-training" if stage.phase == "pretrain" else "classifier"


def find(name: str, profile: Profile | None = None, overrides: Sequence[str] = ()) -> Model:
    """Return a model by name; "TABLE/ROW" looks it up in another table, given by name or path.

    With a profile, the stage has its settings, see ``models``.

    Raises:
        UserError: the model or table does not exist.
    """
    table, slash, row = name.rpartition("/")
    if slash and not (table and row):
        raise UserError(f"No model {name!r}; write TABLE/ROW, for instance table3/sam-sam.")
    known = models(table or TABLE, profile, overrides)
    if row not in known:
        raise unknown("model", row, known)
    return known[row]
