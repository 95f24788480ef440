"""Names of what can be counted: rows of tables, their fine-tuning, and usual names of models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.errors import UserError, unknown
from harness.plan import catalog
from harness.plan.plan import resolve
from harness.spec.profile import Profile
from harness.spec.recipe import NeedsMasks, Stage

TABLE = "table1"
"""Where names without a table are looked up."""

ALIASES = {"vit_base_patch16": "vit", "swin_tiny": "swin"}
"""timm's names of the supervised rows; their size is the profile's."""

FINETUNE = ".finetune"


@dataclass(frozen=True, kw_only=True)
class Model:
    """What a name stands for: one stage of a row, and what it is called in print."""

    name: str
    label: str
    stage: Stage


def models(
    table: str = TABLE, profile: Profile | None = None, overrides: Sequence[str] = ()
) -> dict[str, Model]:
    """Return the models of a table by name: NAME its first stage, NAME.finetune its last.

    With a profile, stages are as it runs them, with the overrides of ``--set``.
    """
    found: dict[str, Model] = {}
    rows = [row for row in catalog.load(table)[1].rows if row.stages]
    chains = [r.chain() for r in rows] if profile is None else resolve(rows, profile, overrides)
    for row, chain in zip(rows, chains, strict=True):
        label = f"{row.label} ({row.backbone}), {_kind(chain[0])}"
        found[row.name] = Model(name=row.name, label=label, stage=chain[0])
        if len(chain) > 1:
            name = row.name + FINETUNE
            label = f"{row.label} ({row.backbone}), fine-tuning"
            found[name] = Model(name=name, label=label, stage=chain[-1])
    if table == TABLE:
        for alias, name in ALIASES.items():
            found[alias] = Model(name=alias, label=found[name].label, stage=found[name].stage)
    return found


def _kind(stage: Stage) -> str:
    if isinstance(stage.method, NeedsMasks):
        return "segmenter"
    return "pre-training" if stage.phase == "pretrain" else "classifier"


def find(name: str, profile: Profile | None = None, overrides: Sequence[str] = ()) -> Model:
    """Return a model by name; "TABLE/ROW" looks into another table, also one given by path.

    With a profile, the stage is as it runs there, see ``models``.

    Raises:
        UserError: there is no such model or table.
    """
    table, slash, row = name.rpartition("/")
    if slash and not (table and row):
        raise UserError(f"No model {name!r}; write TABLE/ROW, for instance table3/sam-sam.")
    known = models(table or TABLE, profile, overrides)
    if row not in known:
        raise unknown("model", row, known)
    return known[row]
