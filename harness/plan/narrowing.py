"""What a plan leaves out or changes of its whole table, in words, and the name of its pages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from harness.canonical import digest
from harness.errors import listed
from harness.plan import finished
from harness.plan.plan import Plan
from harness.store.record import Records
from harness.wording import named


@dataclass(frozen=True, kw_only=True)
class Narrowing:
    """How a plan differs from its table's default.

    Attributes:
        parts: what differs ("rows", "columns", "seeds", "split", "rule", "settings") with what is
            shown of it, in the plan's order.
        left_out: seeds that are not asked for although they have finished runs.
    """

    parts: Mapping[str, tuple[str, ...]]
    left_out: tuple[int, ...] = ()

    @property
    def text(self) -> str:
        """What is shown: "to rows x, y; seeds 0; with rule best"."""
        to = [f"{part} {listed(names)}" for part, names in self.parts.items() if part in _SELECTED]
        by = [f"{part} {' '.join(n)}" for part, n in self.parts.items() if part not in _SELECTED]
        if self.left_out:
            to[-1] += f" (finished runs of {named('seed', self.left_out)} are left out)"
        texts = [f"to {'; '.join(to)}"] if to else []
        return ", ".join([*texts, *([f"with {', '.join(by)}"] if by else [])])

    def name(self, whole: str) -> str:
        """Return the name of a page beside that of the whole table; stable for equal parts."""
        return f"{whole}-part-{digest({k: list(v) for k, v in self.parts.items()})[:8]}"


_SELECTED = ("rows", "columns", "seeds")


def narrowing(plan: Plan, records: Records | None = None) -> Narrowing | None:
    """Return how a plan differs from its table's default; None for the whole table.

    Further seeds show more of the same table. Seeds narrow it where others have finished runs.
    ``records`` are those of the plan's run store; None opens it.
    """
    rows = tuple(row.name for row in plan.table.rows)
    columns = tuple(column.name for column in plan.table.columns)
    splits = {
        f"{c.column.dataset}={c.split}": None for c in plan.columns if c.split != c.manifest.split
    }
    left_out = _left_out(plan, records)
    found: dict[str, tuple[str, ...]] = {
        "rows": rows if len(rows) < len(plan.whole.rows) else (),
        "columns": columns if set(columns) != {c.name for c in plan.whole.columns} else (),
        "seeds": tuple(map(str, plan.seeds)) if left_out else (),
        "split": tuple(splits),
        "rule": (plan.options.rule,) if plan.options.rule != "last" else (),
        "settings": plan.changes,
    }
    parts = {part: names for part, names in found.items() if names}
    # Nothing that is selected may remain, of a table beside others: that, too, is a part.
    if len(rows) == 0:
        parts["rows"] = ("none",)
    return Narrowing(parts=parts, left_out=left_out) if parts else None


def _left_out(plan: Plan, records: Records | None) -> tuple[int, ...]:
    """Return the seeds that have finished runs of this plan and are not asked for."""
    if plan.options.seeds is None:
        return ()
    return tuple(seed for seed in finished.seeds(plan, None, records) if seed not in plan.seeds)
