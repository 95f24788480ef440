"""A page of tables: what it shows, what it loads, what a hostile name can do."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from pathlib import Path

import pytest

from harness.page import articles, pictures, runs
from harness.page.build import build
from harness.page.chips import STYLES, tally
from harness.page.curves import thinned
from harness.page.render import TEMPLATES, embedded, render
from harness.plan import catalog
from harness.verdict.values import MEANINGS
from tests.conftest import Harness
from tests.page import stores
from tests.page.asked import HOSTILE, NAMES, PAGE, request
from tests.page.reading import Reader


def read(*names: str) -> Reader:
    return Reader(render(build(request(*names))))


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page of Table 1 that the tests below read."""
    import contextlib

    with contextlib.chdir(tmp_path_factory.mktemp("page")):
        plan = stores.planned(seeds=(0, 1))
        stores.fill(plan, stale=[plan.cell_runs[0].run.key()])
        Path("page.html").write_text(render(build(request("table1"))))
        return Path.cwd()


@pytest.fixture(scope="module")
def page(shared: Path) -> Reader:
    return Reader((shared / "page.html").read_text())


def test_verdicts_stand_beside_the_published_numbers(page: Reader) -> None:
    cells = {cell["id"]: cell for cell in page.data["cells"]}
    assert cells["smoke-table1/mae/btmd"]["verdict"]["word"] == "not comparable"
    place = next(i for i, text in enumerate(page.cells) if text == "MAE")
    paper, ours, verdict = page.cells[place + 2 : place + 5]
    assert paper == "82.46"
    assert ours.strip().startswith(cells["smoke-table1/mae/btmd"]["text"].split()[0])
    assert verdict.strip() == "\N{NOT PARALLEL TO}not comparable"
    assert "0 of 10 published numbers reproduced" in page.text


def test_every_number_opens_a_run_whose_stages_are_there(page: Reader) -> None:
    data = page.data
    cells = {cell["id"]: cell for cell in data["cells"]}
    refs = page.attributes("data-ref")
    assert refs
    assert set(refs) <= cells.keys()
    opened = cells["smoke-table1/mae/btmd"]
    assert [seed["seed"] for seed in opened["seeds"]] == [0, 1]
    for seed in opened["seeds"]:
        run = data["runs"][seed["key"]]
        assert [data["stages"][key]["phase"] for key in run["stages"]] == ["pretrain", "finetune"]
        assert sum(map(sum, run["confusion"])) == seed["n"] == 128
        right = sum(run["confusion"][i][i] for i in range(4))
        assert seed["value"] == pytest.approx(100 * right / 128, abs=1e-12)
        assert len(run["data"]) == len(seed["key"]) == 64
        stage = data["stages"][seed["key"]]
        assert stage["curves"]["y"]["loss/total"][0] == 1.0
        assert stage["commit"] == "c" * 40
        assert stage["seconds"] == 1.5
    assert shlexed(opened["seeds"][1]["command"]) == {
        "--profile": "smoke",
        "--datasets": "btmd",
        "--rows": "mae",
        "--seeds": "1",
    }


def shlexed(command: str) -> dict[str, str]:
    words = command.split()
    assert words[:3] == ["harness", "run", "table1"]
    return dict(zip(words[3::2], words[4::2], strict=True))


def test_the_numbers_are_those_of_the_table_and_of_the_verdict(
    shared: Path, page: Reader, harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(shared)
    options = (*PAGE, "--seeds", "0,1", "--out", "out", "--name", "table1")
    assert harness("report", "table1", *options, "--format", "json")[0] == 0
    table = json.loads(Path("out/table1.json").read_text())
    cells = {cell["id"]: cell for cell in page.data["cells"]}
    compared = 0
    for row in table["rows"]:
        theirs = row["cells"]["btmd"]
        if theirs["value"] is None:
            continue
        ours = cells[f"smoke-table1/{row['name']}/btmd"]
        assert [s["value"] for s in ours["seeds"]] == [s["value"] for s in theirs["seeds"]]
        compared += 1
    assert compared == 2


def test_stale_runs_are_marked_and_counted(page: Reader) -> None:
    stale = [s["key"] for c in page.data["cells"] for s in c["seeds"] if s.get("stale")]
    assert len(stale) == 1
    assert "4 finished runs, 1 made by other sources †" in page.text
    marked = [text for text in page.cells if "†" in text]
    assert marked
    assert all(re.search(r"\d\d\.\d\d", text) for text in marked)


def test_without_a_script_the_numbers_are_read(page: Reader) -> None:
    cell = next(c for c in page.data["cells"] if c["id"].endswith("msmae/btmd"))
    number, spread = cell["text"].split(" ", 1)
    assert any(number in text and spread in " ".join(text.split()) for text in page.cells)
    hidden = [a for _, a in page.elements if "hidden" in a]
    assert all("js" in (a.get("class") or "").split() for a in hidden)


def test_settings_that_differ_from_the_reference_can_be_told(page: Reader) -> None:
    data = page.data
    cell = next(c for c in data["cells"] if c["id"] == "smoke-table1/mae/btmd")
    assert cell["reference"] == "MSMAE (ours in the paper)"
    (_, mine), (_, theirs) = cell["chain"][0], cell["compared"][0]
    assert data["settings"][mine]["method"] == "mae"
    assert data["settings"][mine]["method.mask_ratio"] == 0.75
    assert data["settings"][theirs]["method.mask_ratio"] == 0.45
    reference = next(c for c in data["cells"] if c["id"] == "smoke-table1/msmae/btmd")
    assert reference["reference"] is None


def test_a_reference_is_of_the_group_or_the_first() -> None:
    _, table = catalog.load("controls")
    for row in table.rows:
        found = runs.reference_of(table, row)
        if row.name in table.references:
            assert found is None
        else:
            assert found is not None
            assert found.name in table.references
            same = [r for r in table.rows if r.name in table.references and r.group == row.group]
            assert found.group == row.group or not same


def test_probes_are_columns_that_can_be_shown(page: Reader) -> None:
    heads = [a for tag, a in page.elements if tag == "th" and "probe" in (a.get("class") or "")]
    assert {a["data-c"] for a in heads} == {"1", "2"}


# ---- what it loads ------------------------------------------------------------------------------


def test_nothing_is_loaded_and_the_policy_allows_what_is_there(page: Reader) -> None:
    (policy,) = (a["content"] for _, a in page.elements if a.get("http-equiv"))
    assert policy is not None
    rules = dict(part.strip().split(" ", 1) for part in policy.split(";"))
    assert rules["default-src"] == "'none'"
    assert "connect-src" not in rules
    assert rules["img-src"] == "data:"
    (style,), (data, script) = page.raw["style"], page.raw["script"]
    assert rules["style-src"] == f"'sha256-{sha(style)}'"
    assert rules["script-src"] == f"'sha256-{sha(script)}'"
    json.loads(data)
    sources = [*page.attributes("src"), *page.attributes("href")]
    assert all(s.startswith(("#", "data:")) for s in sources)
    assert not page.attributes("style")
    assert not [n for _, a in page.elements for n in a if n.startswith("on")]
    assert "url(" not in style
    assert "@import" not in style


def sha(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def test_the_script_makes_no_markup_from_data() -> None:
    script = (TEMPLATES / "page.js").read_text()
    for way in ("innerHTML", "outerHTML", "insertAdjacent", "document.write", "eval(", "Function("):
        assert way not in script
    for name in ("page.js", "page.css"):
        assert "</" not in (TEMPLATES / name).read_text()
    assert "| safe" not in (TEMPLATES / "page.html").read_text()


# ---- hostile names ------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", NAMES)
def test_hostile_names_are_text(bad: str) -> None:
    Path("hostile.py").write_text(HOSTILE.format(bad=bad), encoding="utf-8")
    stores.fill(stores.planned("hostile.py", None, seeds=(0,)))
    clean, hostile = page_of("hostile.py", bad="fine"), read("hostile.py")
    assert [tag for tag, _ in clean.elements] == [tag for tag, _ in hostile.elements]
    names = [sorted(a) for _, a in clean.elements]
    assert names == [sorted(a) for _, a in hostile.elements]
    seen = re.sub("[\x07\x1b\u202e\u2028]", "\N{REPLACEMENT CHARACTER}", bad)
    assert " ".join(f"{seen} label".split()) in hostile.text
    assert not set("\x07\x1b\u202e\u2028") & set("".join(hostile.texts))
    links = [h for h in hostile.attributes("href") if h != "data:,"]
    assert all(re.fullmatch(r"#[\w%/.=&~-]*", link) for link in links)
    row = next(c for c in hostile.data["cells"] if c["row"].endswith("label"))
    assert row["row"] == f"{bad} label"


def page_of(name: str, *, bad: str) -> Reader:
    """Return the page of the same table with harmless names."""
    Path("fine").mkdir()
    path = Path("fine", name)
    path.write_text(HOSTILE.format(bad=bad))
    return read(str(path))


def test_a_users_table_is_named_by_its_path() -> None:
    Path("mine").mkdir()
    Path("mine/own table.py").write_text(HOSTILE.format(bad="fine"))
    stores.fill(stores.planned("mine/own table.py", None, seeds=(0,)))
    (first, *_) = (c for c in read("mine/own table.py").data["cells"] if c["seeds"])
    assert first["table"] == "own table"
    assert first["seeds"][0]["command"].startswith("harness run 'mine/own table.py' --profile")


def test_hostile_classes_errors_and_settings_do_not_end_the_data() -> None:
    for bad in NAMES:
        text = embedded({"classes": [bad], bad: bad})
        assert "<" not in text
        assert ">" not in text
        assert json.loads(text) == {"classes": [bad], bad: bad}
    assert embedded("\ud800") == '"?"'


def test_a_failed_run_tells_its_error(harness: Harness) -> None:
    plan = stores.planned(rows=("mae",), seeds=(0,))
    stores.fill(plan, failed=[plan.cell_runs[0].run.key()])
    cell = next(c for c in read("table1").data["cells"] if "/mae/" in c["id"])
    assert cell["seeds"][0]["error"] == "ValueError: <no>"
    assert cell["text"] == "failed"


def test_predictions_that_are_gone_are_told() -> None:
    plan = stores.fill(stores.planned(rows=("mae",), seeds=(0,)))
    key = plan.cell_runs[0].run.key()
    Path(f"runs/predictions/{key}.npz").unlink()
    run = read("table1").data["runs"][key]
    assert run["no_confusion"] == "the predictions are missing"
    assert "confusion" not in run


# ---- what lies beside the report ----------------------------------------------------------------


def test_figures_beside_the_report_are_embedded_once_as_images() -> None:
    stores.fill(stores.planned(rows=("mae",), seeds=(0,)))
    folder = Path("reports/smoke/figures")
    folder.mkdir(parents=True)
    drawn = "<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>"
    (folder / "figure2.svg").write_text(drawn)
    (folder / "figure2.png").write_bytes(b"a smaller copy")
    (folder / "figure2.txt").write_text("Weights <b>by epoch</b>.\n")
    (folder / "huge.png").write_bytes(bytes(pictures.LARGEST + 1))
    page = read("table1")
    (image,) = (a for tag, a in page.elements if tag == "img")
    source = image["src"] or ""
    kind, _, content = source.partition(",")
    assert kind == "data:image/svg+xml;base64"
    assert base64.b64decode(content).decode() == drawn
    assert "Weights <b>by epoch</b>." in page.text
    assert "Left out: smoke/figures/huge.png: 2000001 bytes" in page.text


def test_an_audit_is_read_as_it_was_written() -> None:
    from harness.audit.page import Page, Section, to_markdown

    hostile = "a|b *c* \\ `d` <e> & [f](g) $h$ ~i~"
    section = Section(
        title=hostile, text=("1. A sentence.",), head=("x", hostile), rows=(("", "y"),)
    )
    written = Page(
        title="T " + hostile, command="harness audit x", lead=("Lead.",), sections=(section,)
    )
    article = articles.parse(to_markdown(written), "audit_x.md")
    assert article.title == "T " + hostile
    kinds = [(b.kind, b.texts or b.rows) for b in article.blocks]
    assert kinds == [
        ("text", ("Written by harness audit x.",)),
        ("text", ("Lead.",)),
        ("heading", (hostile,)),
        ("text", ("1. A sentence.",)),
        ("table", (("x", hostile), ("", "y"))),
    ]


def test_an_audit_that_is_no_text_is_left_out() -> None:
    Path("reports").mkdir()
    Path("reports/audit_a.md").write_bytes(b"\xff\xfe")
    Path("reports/audit_b.md").write_text("# B\n\n- one\n- two\n")
    found, missing = articles.find([Path("reports")], Path("reports"))
    assert [a.title for a in found] == ["B"]
    assert found[0].blocks[0].texts == ("one", "two")
    assert missing[0].startswith("audit_a.md: ")


# ---- small parts --------------------------------------------------------------------------------


def test_curves_keep_their_ends_and_at_most_so_many_points() -> None:
    history = [{"epoch": float(i), "loss": i / 7, "odd": float("nan")} for i in range(1000)]
    drawn = thinned(history, 50)
    assert drawn["of"] == 1000
    assert (drawn["x"][0], drawn["x"][-1]) == (1, 1000)
    assert len(drawn["x"]) == len(drawn["y"]["loss"]) == 50
    assert drawn["x"] == sorted(set(drawn["x"]))
    for at, value in zip(drawn["x"], drawn["y"]["loss"], strict=True):
        assert value == pytest.approx((at - 1) / 7, rel=1e-4)
    assert drawn["y"]["odd"] == [None] * 50
    assert "epoch" not in drawn["y"]
    assert thinned((), 50) == {}


def test_every_verdict_has_a_sign_of_its_own() -> None:
    assert STYLES.keys() == MEANINGS.keys()
    glyphs = [glyph for glyph, _ in STYLES.values()]
    assert len(set(glyphs)) == len(glyphs)


def test_a_tally_keeps_its_denominator() -> None:
    counted = tally("numbers", ["not run", "reproduced", "different", "not run"])
    assert (counted.reproduced, counted.total) == (1, 4)
    assert [(c.word, n) for c, n in counted.counts] == [
        ("reproduced", 1),
        ("different", 1),
        ("not run", 2),
    ]
