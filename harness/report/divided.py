"""Notes on how data sets were divided: which images select, and what the parts share."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from harness.report.division import kept, rules
from harness.report.values import ColumnContext, Context, GridColumn

BEST = {
    "paper": "the best epoch on the reported images themselves (the paper's rule, which flatters)",
    "clean": "the best epoch on the validation part",
    "given": "the best epoch on the validation part of the given split",
}
"""Texts of the selection of the best epoch by split."""

ON_REPORTED = (
    "the best epoch is selected on the reported images themselves, as the given split has no"
    " validation part"
)

SPLITS = {
    "paper": "paper (trained on its training part, reported on its evaluation part)",
    "clean": "clean (other images than the paper's split; reported on the test part)",
    "given": "given (the user's own parts; reported on the test part)",
}
"""Texts of the splits."""


def selection(columns: Sequence[GridColumn], context: Context) -> str:
    """Return which epoch is reported, and on which images it was selected."""

    def of(column: ColumnContext) -> str:
        if column.division is not None and column.division.selects_on_reported:
            return ON_REPORTED if context.rule == "best" else f"the last epoch ({ON_REPORTED})"
        return BEST[column.split] if context.rule == "best" else "the last epoch"

    shown = _by_title(columns, of) or "the last epoch"
    return f"{shown}; the JSON file holds the value at the last epoch and at the best"


def split(columns: Sequence[GridColumn], context: Context) -> str:
    """Return the splits in words, by data set where they differ."""
    named = _by_title(columns, lambda column: SPLITS[column.split])
    return named or "; ".join(SPLITS[name] for name in context.split.split(" and "))


def shared(columns: Sequence[GridColumn]) -> str:
    """Return how twins and groups were kept, and how many the reported part has in training."""
    contexts = {c.context.dataset: c.context for c in columns if c.context.division is not None}
    if not contexts:
        return ""
    texts = [
        f"{context.title}: {kept(context.division)}"
        for context in contexts.values()
        if context.division is not None
    ]
    divisions = [c.division for c in contexts.values() if c.division is not None]
    if not all(division.whole for division in divisions):
        texts.append("counted over the whole parts, of which the profile takes fewer images")
    return "; ".join([*texts, rules(divisions)])


def _by_title(columns: Sequence[GridColumn], text: Callable[[ColumnContext], str]) -> str:
    """Return the only text, or each with the titles of its columns; "" without columns."""
    titles: dict[str, dict[str, None]] = {}
    for column in columns:
        titles.setdefault(text(column.context), {})[column.context.title] = None
    if len(titles) < 2:
        return "".join(titles)
    return "; ".join(f"{', '.join(names)}: {shown}" for shown, names in titles.items())
