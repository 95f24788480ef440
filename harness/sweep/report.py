"""Report of a sweep: its trials as Markdown, LaTeX, JSON, CSV and figures.

Accuracies are of the validation part of the clean split. They select settings and are not final
results.
"""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness import files
from harness.canonical import short
from harness.errors import shown, unknown
from harness.report import json_files, markdown, tex_page
from harness.report.numbers import fixed
from harness.report.table_style import FULL, TableStyle
from harness.report.values import NOTHING, Note
from harness.stats import intervals
from harness.sweep.figures import Picture, pictures
from harness.sweep.values import PART, Line, Sheet

FORMAT = 1
"""Version of the JSON layout, increased when the layout changes."""

BEST = 10
"""Number of trials in Markdown and LaTeX; JSON and CSV contain all."""


def _table(sheet: Sheet) -> tuple[list[str], list[list[str]]]:
    """Return headings and rows of the best trials, as text."""
    heads = ["Trial", *sheet.dimensions, "Validation accuracy", "Training FLOPs (T)"]
    rows = []
    for trial in sheet.complete[:BEST]:
        cells = [str(trial.number), *(_value(trial.values[d]) for d in sheet.dimensions)]
        rows.append([*cells, _accuracy(trial, sheet.n), _cost(trial)])
    return heads, rows


def _value(value: float | int | str) -> str:
    return value if isinstance(value, str) else f"{value:g}"


def _accuracy(trial: Line, n: int) -> str:
    """Return an accuracy (%) with Wilson's 95 % interval over n images."""
    if trial.accuracy is None:
        return NOTHING
    interval = intervals.wilson(round(trial.accuracy * n), n)
    ends = f"{fixed(100 * interval.low, 2)}, {fixed(100 * interval.high, 2)}"
    return f"{fixed(100 * trial.accuracy, 2)} [{ends}]{' †' if trial.stale else ''}"


def _cost(trial: Line) -> str:
    text = NOTHING if trial.macs is None else f"{trial.macs / 1e12:.4g}"
    return f"{text} *" if trial.front else text


def _notes(sheet: Sheet) -> list[tuple[str, str]]:
    """Return labels and texts of the notes."""
    context = sheet.context
    states = ("complete", "pruned", "fail", "running", "waiting")
    counts = ", ".join(f"{sheet.count(s)} {s}" for s in states if sheet.count(s))
    commits = dict.fromkeys(short(t.commit) for t in sheet.trials if t.commit)
    shares = ", ".join(f"{n} {fixed(s, 3)}" for n, s in sheet.importances.items())
    failed = [f"trial {t.number}: {t.error}" for t in sheet.trials if t.state == "fail"]
    return [
        ("Trials", f"{counts or 'none'}; sampler {sheet.sampler}, pruner {sheet.pruner}"),
        ("Selection", f"{PART}, accuracy of fine-tuning's last epoch; the reported part has none"),
        ("FLOPs", "multiply-accumulates (thop-macs) of the forward passes of all training images"
         " of all stages and epochs; * on the Pareto front of accuracy against them"),
        ("Importances", (f"fANOVA's shares of the accuracy's variance: {shares}; X_share: X as a"
         " share of the room its constraint leaves") if shares else f"none: {sheet.importance_error}"),  # noqa: E501
        *([("Failed", "; ".join(failed))] if failed else []),
        *([("†", "made by other sources than the present ones")]
          if any(t.stale for t in sheet.trials) else []),
        ("Best trial as --set at this profile", " ".join(sheet.settings) or NOTHING),
        *(("Note", text) for text in sheet.notes),
        ("Study", sheet.study),
        ("Data", f"{sheet.dataset}, fingerprint {short(sheet.data)}, n = {sheet.n}"),
        ("Seed and split", f"seed {context.seeds[0]}, split {context.split}"),
        ("Twins and groups", sheet.kept),
        ("Overrides", " ".join(context.overrides) or "none"),
        ("Commits of the records", ", ".join(commits) or NOTHING),
        ("Written", f"{context.created} by `{context.command}` at {short(context.commit)}"
         f"{'+changes' if context.dirty else ''}, {context.device}"),
    ]  # fmt: skip


def _markdown(sheet: Sheet) -> str:
    title, *rest = sheet.caption
    heads, rows = _table(sheet)
    lines = [f"# {markdown.escape(title)}", "", markdown.escape(" ".join(rest)), ""]
    lines.append(_piped(list(map(markdown.escape, heads))))
    lines.append(_piped(["---:"] * len(heads)))
    lines += [_piped([markdown.escape(cell) for cell in row]) for row in rows]
    notes = _notes(sheet)
    lines += ["", *(f"- **{markdown.escape(a)}:** {markdown.escape(b)}" for a, b in notes)]
    lines += ["", *(f"![{p.name}]({sheet.context.name}-{p.name}.png)" for p in _figures(sheet))]
    lines += ["", "Run keys:", ""]
    lines += [f"- trial {t.number}: {t.key[:12]}" for t in sheet.complete[:BEST]]
    return "\n".join(lines) + "\n"


def _piped(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def latex(sheet: Sheet, style: TableStyle) -> Mapping[str, str]:
    """Return the best trials as LaTeX files by name, see ``harness.report.tex_page``."""
    heads, rows = _table(sheet)
    table = tex_page.table(heads, rows, "r" * len(heads))
    return tex_page.render(
        tex_page.Page(
            name=sheet.context.name,
            caption=sheet.caption,
            sections=(tex_page.Section(table=table),),
            notes=tuple(Note(label=label, text=text) for label, text in _notes(sheet)),
            comments=(f"Made by: {sheet.context.command}",),
        ),
        style,
    )


def to_json(sheet: Sheet) -> dict[str, Any]:
    """Return a sweep's report as JSON values, in natural units."""
    values = dataclasses.asdict(sheet)
    names = ("title", "study", "dataset", "data", "n", "kept", "sampler", "pruner")
    return {
        "format": FORMAT,
        "name": sheet.context.name,
        **{name: values[name] for name in names},
        "silent": sheet.importance_error,
        "part": PART,
        "caption": " ".join(sheet.caption),
        "context": {**values["context"], "versions": dict(sheet.context.versions)},
        "counts": {t.state: sheet.count(t.state) for t in sheet.trials},
        "best": values["trials"][0]["number"] if sheet.complete else None,
        "settings": list(sheet.settings),
        "importances": dict(sheet.importances),
        "front": [t.number for t in sheet.trials if t.front],
        "trials": [
            {**trial, "interval": _interval(line, sheet.n)}
            for trial, line in zip(values["trials"], sheet.trials, strict=True)
        ],
    }


def _interval(trial: Line, n: int) -> list[float] | None:
    if trial.accuracy is None or not n:
        return None
    interval = intervals.wilson(round(trial.accuracy * n), n)
    return [interval.low, interval.high]


def _json(sheet: Sheet) -> str:
    return json_files.text(to_json(sheet))


def _csv(sheet: Sheet) -> str:
    fields = [f.name for f in dataclasses.fields(Line) if f.name != "values"]
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow([*fields, *map(shown, sheet.dimensions)])
    for trial in sheet.trials:
        values = [trial.values.get(d, "") for d in sheet.dimensions]
        cells = [getattr(trial, name) for name in fields] + values
        writer.writerow([shown(c) if isinstance(c, str) else c for c in cells])
    return stream.getvalue()


FORMATS: Mapping[str, Callable[[Sheet], str]] = {"md": _markdown, "json": _json, "csv": _csv}
"""Renderers by file extension, but for LaTeX, which may be several files."""


def _figures(sheet: Sheet) -> list[Picture]:
    """Return the figures for which there are data."""
    return pictures(sheet)


def write(
    sheet: Sheet, folder: Path, formats: Sequence[str], style: TableStyle = FULL
) -> list[Path]:
    """Write the report as ``NAME.FORMAT`` for every format, and its figures; return the paths.

    Raises:
        UserError: a format is unknown, or the folder cannot be written.
    """
    for name in formats:
        if name not in (*FORMATS, "tex"):
            raise unknown("format", name, (*FORMATS, "tex"))
    stem = sheet.context.name
    texts: dict[Path, str] = {}
    for name in formats:
        made = latex(sheet, style) if name == "tex" else {f"{stem}.{name}": FORMATS[name](sheet)}
        texts.update({folder / file: text for file, text in made.items()})
    drawn = {
        folder / file: content
        for picture in _figures(sheet)
        for file, content in picture.files(stem).items()
    }
    for path, text in texts.items():
        files.write_text(path, text)
    for path, content in drawn.items():
        files.write_bytes(path, content)
    return [*texts, *drawn]
