"""Figure 4: the reconstruction and the classification loss of pre-training, by epoch."""

from __future__ import annotations

from collections.abc import Sequence

from harness.figures import curves
from harness.figures.curves import Line, Panel
from harness.figures.values import Drawing, Made, Missing, Request, datasets, facts, file_name
from harness.figures.values import caption as caption_of
from harness.report import style

LOSSES = {
    "loss/reconstruction": "reconstruction loss",
    "loss/classification": "classification loss",
}
"""Titles of the two losses by their names in histories."""


def make(request: Request) -> Made:
    """Yield a figure per data set with the rows that have both losses."""
    for column in datasets(request.plan).values():
        stages = curves.lines(request, column).get("pretrain", [])
        both = [line for line in stages if all(line.points(name) for name in LOSSES)]
        if not both:
            yield Missing(
                name="4",
                why=f"no finished pre-training on {column.used.name} has both losses, which"
                f" MSMAE's has; run `{request.again}`",
            )
            continue
        shown = _panels(both)
        several = len(request.plan.seeds) > 1
        yield Drawing(
            name=file_name(request, "figure4", column.used.name),
            caption=caption_of(
                request,
                "Reconstruction and classification loss of pre-training",
                (
                    "Mean over the seeds; band: lowest to highest seed." if several else "",
                    style.left_out(sum(line.too_large(name) for line in both for name in LOSSES)),
                ),
                column=column,
                paper="Figure 4",
            ),
            data={**facts(request, column), "panels": [curves.values(panel) for panel in shown]},
            rows=tuple(curves.csv_rows(shown)),
            draw=lambda how, shown=shown: curves.draw(shown, how),  # type: ignore[misc]
        )


def _panels(lines: Sequence[Line]) -> tuple[Panel, ...]:
    return tuple(
        Panel(
            phase="pretrain",
            name=name,
            title=title,
            lines=tuple(lines),
        )
        for name, title in LOSSES.items()
    )
