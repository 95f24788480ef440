"""Table 8: the paper's numbers, one default, batches under a cap, and its six small tables."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

import pytest

from harness.errors import UserError
from harness.plan import catalog, plan
from harness.report import latex, markdown
from harness.report.grid import lay_out
from harness.report.terminal import show
from harness.report.values import Grid
from harness.report.write import FORMATS
from harness.spec import profiles
from harness.spec.profile import Profile
from harness.spec.recipe import Stage
from harness.spec.run import Run
from harness.spec.table import Column, Row, Table
from tests.report import typesetting
from tests.report_cases import CONTEXT, MESSIDOR, column, entry, row

DEFAULT = (63.41, 98.39)

# The paper, Table 8: Messidor-2 ("DR") and BTMD ("BT").
PRINTED = {
    "p-bs": {"64": DEFAULT, "128": (62.87, 97.70), "256": (62.98, 97.77)},
    "f-bs": {"64": (63.98, 97.52), "128": (63.17, 98.03), "256": DEFAULT},
    "mr / tr": {
        "75 % / 0 %": (62.93, 97.58),
        "45 % / 40 %": (63.04, 97.93),
        "45 % / 30 %": DEFAULT,
        "30 % / 45 %": (63.02, 98.16),
    },
    "p-mwui": {
        "20": (62.27, 97.25),
        "40": DEFAULT,
        "60": (63.55, 98.03),
        "80": (63.06, 97.94),
    },
    "f-mwui": {
        "10": (62.88, 97.16),
        "20": DEFAULT,
        "30": (63.36, 98.27),
        "40": (63.30, 97.29),
    },
    "gp": {"True": DEFAULT, "False": (63.03, 98.47)},
}

DEFAULTS = ("p-bs-64", "f-bs-256", "ratios-45-30", "p-mwui-40", "f-mwui-20", "gp-on")
PROFILES = pytest.mark.parametrize("profile", profiles.PROFILES.values(), ids=lambda p: p.name)


def _table() -> Table:
    return catalog.load("table8")[1]


def _stages(profile: Profile, experiment: str = "table8") -> dict[str, tuple[Stage, ...]]:
    rows = catalog.load(experiment)[1].rows
    return dict(zip((r.name for r in rows), plan.resolve(rows, profile, ()), strict=True))


def _keys(chain: tuple[Stage, ...], profile: Profile) -> tuple[str, ...]:
    run = Run(dataset="btmd", data="d", split="paper", profile=profile, stages=chain, seed=0)
    return tuple(run.key(num_stages) for num_stages in (1, 2))


def test_the_papers_numbers_stand_in_its_six_small_tables() -> None:
    table = _table()
    found = {heading: {} for heading in table.subtables.values()}  # type: ignore[var-annotated]
    for line in table.rows:
        numbers = tuple(line.printed_numbers[name].value for name in ("messidor2", "btmd"))
        found[table.subtables[line.group]][line.label] = numbers
    assert found == PRINTED
    assert list(found) == list(PRINTED)


def test_the_default_is_one_run_shared_with_table_1() -> None:
    chains = _stages(profiles.PAPER)
    keys = {name: _keys(chain, profiles.PAPER) for name, chain in chains.items()}
    (default,) = {keys[name] for name in DEFAULTS}
    assert default == _keys(_stages(profiles.PAPER, "table1")["msmae"], profiles.PAPER)
    # By hand, a data set: 1 + 2 + 3 + 3 pre-trainings and 1 + 2 + 2 + 3 + 3 + 3 + 1 fine-tunings.
    assert len({first for first, _ in keys.values()}) == 9
    assert len({last for _, last in keys.values()}) == 15


def test_rows_vary_one_thing() -> None:
    first, last = (dataclasses.asdict(s) for s in catalog.load("table1")[1].rows[-1].stages or ())
    found = {}
    for line in _table().rows:
        assert line.stages is not None
        changed = set()
        for stage, usual in zip(line.stages, (first, last), strict=True):
            made = dataclasses.asdict(stage)
            for part in ("method", "recipe"):
                changed |= {
                    f"{stage.phase}.{name}={value}"
                    for name, value in made[part].items()
                    if usual[part][name] != value
                }
        found[line.name] = changed
    assert {name for name, changed in found.items() if not changed} == set(DEFAULTS)
    both = {f"{p}.{r}" for p in ("pretrain", "finetune") for r in ("mask_ratio=0.75",)}
    assert found["ratios-75-0"] == both | {"pretrain.throw_ratio=0.0", "finetune.throw_ratio=0.0"}
    assert found["ratios-45-40"] == {"pretrain.throw_ratio=0.4", "finetune.throw_ratio=0.4"}
    assert found["p-bs-256"] == {"pretrain.batch_size=256"}
    assert found["f-bs-128"] == {"finetune.batch_size=128"}
    assert found["p-mwui-80"] == {"pretrain.update_interval=80"}
    assert found["f-mwui-10"] == {"finetune.update_interval=10"}
    assert found["gp-off"] == {"finetune.pool=class"}


@PROFILES
def test_batches_keep_their_ratio_under_a_cap(profile: Profile) -> None:
    chains = _stages(profile)
    for name, position, usual in (("p-bs", 0, 64), ("f-bs", 1, 256)):
        recipes = {n: chains[f"{name}-{n}"][position].recipe for n in (64, 128, 256)}
        cap = {"smoke": 32, "laptop": 64, "paper": usual}[profile.name]
        sizes = {n: recipe.batch_size for n, recipe in recipes.items()}
        assert sizes == {n: n * min(cap, usual) // usual for n in recipes}
        rates = [recipe.lr for recipe in recipes.values()]
        assert rates == pytest.approx([rates[0], 2 * rates[0], 4 * rates[0]])


@PROFILES
def test_only_intervals_that_a_short_training_rounds_coincide(profile: Profile) -> None:
    """At laptop size pre-training takes 12 epochs: 40 and 60 of 300 become 2 of them."""
    keys = {name: _keys(chain, profile)[1] for name, chain in _stages(profile).items()}
    same = {name for name, key in keys.items() if key == keys["gp-on"]}
    assert same == {*DEFAULTS, *(("p-mwui-60",) if profile.name == "laptop" else ())}
    assert len(set(keys.values())) == (14 if profile.name == "laptop" else 15)


def test_rows_that_vary_no_batch_are_scaled_as_ever() -> None:
    for name in ("table1", "table3", "controls"):
        rows = [r for r in catalog.load(name)[1].rows if r.stages]
        for profile in profiles.PROFILES.values():
            plain = [tuple(profile.scaled(s) for s in r.chain()) for r in rows]
            assert plan.resolve(rows, profile, ()) == plain


def _pieces(**changes: str) -> Grid:
    """Return two small tables of two rows: (a) 50 and 60 %, (b) 90 and 80 %."""
    rows = [
        row("a1", {"btmd": 55.0}, label="1", group="First_thing"),
        row("a2", {"btmd": 66.0}, label="2", group="First_thing"),
        row("b1", label="on", group="Second"),
        row("b2", label="off", group="Second"),
    ]
    table = Table(
        title="Pieces",
        source="Table 8",
        rows=tuple(rows),
        columns=(Column(dataset="btmd"),),
        subtables={"First_thing": "x_s", "Second": "y"},
    )
    values = {"a1": 0.5, "a2": 0.6, "b1": 0.9, "b2": 0.8}
    entries = [entry(n, v, key=changes.get(n, f"{n}k")) for n, v in values.items()]
    return lay_out(table, entries, [column()], CONTEXT)


def test_rows_are_compared_within_their_small_table() -> None:
    tested = [(ties.subtable, ties.rows, len(ties.pairs)) for ties in _pieces().ties]
    assert tested == [("First_thing", ("a1", "a2"), 1), ("Second", ("b1", "b2"), 1)]
    labels = [note.label for note in _pieces().notes if note.label.startswith("Ties")]
    assert labels == ["Ties, First_thing, BTMD", "Ties, Second, BTMD"]


def test_markdown_has_a_heading_and_a_table_each() -> None:
    text = markdown.render(_pieces())
    assert re.findall(r"^#+ .*", text, re.M) == [
        "# Pieces.",
        r"## (a) First\_thing",
        "## (b) Second",
        "## Notes",
    ]
    assert r"| x\_s | BTMD paper | BTMD ours | BTMD Δ |" in text
    assert "| y | BTMD paper | BTMD ours | BTMD Δ |" in text
    assert text.count("*Majority class (computed)*") == 2
    assert "| 2 | 66.00 | 60.00 | −6.00 |" in text
    assert "under a data set in a small table" in text
    assert r"- **x\_s 2:** BTMD" in text


def test_latex_has_a_tabular_and_a_caption_each() -> None:
    text = latex.render(_pieces())
    assert text.count(r"\begin{table}") == text.count(r"\end{table}") == 2
    assert text.count(r"\caption{") == text.count(r"\caption[]{(continued)}") == 1
    assert text.count(r"\begin{tabular}") == text.count(r"\end{tabular}") == 2
    assert r"{\small (a) First\_thing\par}" in text
    assert r"{\small (b) Second\par}" in text
    begun = re.findall(r"\\begin\{(\w+)", text)
    assert sorted(begun) == sorted(re.findall(r"\\end\{(\w+)", text))
    assert text.count("{") == text.count("}")


@pytest.mark.slow
@pytest.mark.usefixtures("pdflatex")
def test_latex_of_small_tables_compiles(tmp_path: Path) -> None:
    ran = typesetting.compile_document(tmp_path, latex.render(_pieces()))
    assert ran.returncode == 0, ran.stdout[-2000:]


def test_json_and_csv_keep_the_groups(capsys: pytest.CaptureFixture[str]) -> None:
    content = json.loads(FORMATS["json"](_pieces()))
    assert [r["group"] for r in content["rows"]] == ["First_thing"] * 2 + ["Second"] * 2
    assert content["subtables"] == [
        {"title": "(a) First_thing", "heading": "x_s", "rows": ["a1", "a2"]},
        {"title": "(b) Second", "heading": "y", "rows": ["b1", "b2"]},
    ]
    csv = FORMATS["csv"](_pieces())
    assert isinstance(csv, str)
    assert [line.split(",")[0] for line in csv.splitlines()[1:5]] == ["a1", "a2", "b1", "b2"]
    show(_pieces())
    shown = capsys.readouterr().out
    assert shown.index("(a) First_thing") < shown.index("x_s") < shown.index("(b) Second")


def test_letters_stay_when_rows_are_left_out() -> None:
    laid = _pieces()
    assert [title for title, _ in laid.tables] == ["(a) First_thing", "(b) Second"]
    table = Table(
        title="Pieces",
        source="",
        rows=(row("b1", group="Second"),),
        columns=(Column(dataset="btmd"),),
        subtables={"First_thing": "x", "Second": "y"},
    )
    assert [t for t, _ in lay_out(table, [], [column()], CONTEXT).tables] == ["(b) Second"]
    with pytest.raises(UserError, match="No group of the row 'b1' 'Second'"):
        dataclasses.replace(table, subtables={"First_thing": "x"})


def test_rows_that_became_one_training_are_marked_within_their_small_table() -> None:
    table = _table()
    shared = dict.fromkeys((*DEFAULTS, "p-mwui-60"), "k" * 64)
    entries = [
        entry(r.name, 0.9, column="messidor2", key=shared.get(r.name, r.name)) for r in table.rows
    ]
    context = column(column=MESSIDOR, title="Messidor-2", dataset="messidor2")
    laid = lay_out(table, entries, [context], CONTEXT)
    marked = {r.row.name for r in laid.rows if "‡" in r.cells["messidor2"].marks}
    assert marked == {"p-mwui-40", "p-mwui-60"}
    (note,) = laid.footnotes
    assert note.label == "‡"
    assert note.text.endswith("p-mwui 40 and p-mwui 60")
    assert "<sup>‡</sup> one and the same training" in markdown.render(laid)


def test_probes_of_a_shared_pretraining_are_not_called_one_training() -> None:
    first, last = _table().rows[0].stages or ()
    other = dataclasses.replace(last, recipe=dataclasses.replace(last.recipe, epochs=30))
    rows = [
        Row(name=name, label=name, stages=(first, end)) for name, end in (("a", last), ("b", other))
    ]
    probe = Column(dataset="btmd", probe="knn")
    table = Table(title="T", source="", rows=tuple(rows), columns=(probe,))
    entries = [entry(r.name, 0.9, column="btmd.knn", key="same") for r in rows]
    laid = lay_out(table, entries, [column(column=probe)], CONTEXT)
    assert not laid.footnotes
