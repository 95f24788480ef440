"""The audit of the paper: counts by hand, numbers of the text, one entry per published number."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from fractions import Fraction
from math import comb
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.audit import (
    arithmetic,
    chance,
    inconsistent,
    margins,
    page,
    paper_page,
    published,
)
from harness.audit.margins import paired_range
from harness.audit.paper import PaperAudit, audit, repeated
from harness.audit.published import Number, find
from harness.data import registry
from harness.methods.msmae import paper
from harness.report.table_style import TableStyle
from harness.spec.printed import Printed
from harness.verdict import constant
from harness.verdict.grim import CONVENTIONS, grim
from tests.report import typesetting

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(scope="module")
def audited() -> PaperAudit:
    return audit(paper.DESCRIBED.classification_weight)


NUMBERS = published.collect()


def _changed(table: str, row: str, dataset: str, text: str) -> list[Number]:
    """Return the published numbers with one accuracy replaced."""
    old = find(NUMBERS, table, row, dataset, "accuracy")
    return [replace(n, printed=Printed(text)) if n is old else n for n in NUMBERS]


def test_every_published_number_has_one_entry(audited: PaperAudit) -> None:
    # Table 1: 10 x 3; Table 2: 5 x 2; Table 3: 6 x 3; Table 7: 4; Table 8: 20 x 2.
    by_table = Counter(e.number.table for e in audited.entries)
    assert by_table == {"table1": 30, "table2": 10, "table3": 18, "table7": 4, "table8": 40}
    numbers = audited.to_json()["numbers"]
    assert len(numbers) == 102
    places = {(n["table"], n["row"], n["dataset"], n["metric"]) for n in numbers}
    assert len(places) == 102
    assert all(n["finding"] and n["printed"] for n in numbers)
    assert {n["n"] for n in numbers if n["metric"] == "accuracy"} == {522, 1311, 3001, 233}


def test_accuracies_that_are_no_count_by_table(audited: PaperAudit) -> None:
    """Counted by trying every k of n with decimal arithmetic, apart from ``grim``."""
    expected: dict[str, list[int]] = {}
    for number in NUMBERS:
        if not number.is_share or number.n is None:
            continue
        units = Fraction(number.printed.text) * 100
        shares = [Fraction(10_000 * k, number.n) for k in range(number.n + 1)]
        rounds = any(abs(share - units) <= Fraction(1, 2) for share in shares)
        truncates = any(share.__floor__() == units for share in shares)
        counts = expected.setdefault(number.source, [0, 0, 0])
        counts[0] += 1
        counts[1] += not rounds
        counts[2] += not rounds and not truncates
    found = {r.table: [r.cells, r.by_rounding, r.by_any] for r in audited.roundings}
    assert found == expected
    assert found == {
        "Table 1": [30, 6, 1],
        "Table 3": [6, 2, 2],
        "Table 7": [4, 0, 0],
        "Table 8": [40, 29, 21],
    }


def test_chance_rates_are_the_shares_of_printable_numbers_that_are_counts(
    audited: PaperAudit,
) -> None:
    """Every number from 0.00 to 100.00 is tried with the test itself."""
    for rate in audited.rates:
        if rate.n not in (233, 522):
            continue  # the others take minutes
        printable = [f"{units // 100}.{units % 100:02}" for units in range(10_001)]
        tried = [grim(text, rate.n) for text in printable]
        assert (rate.digits, rate.printable) == (2, len(printable))
        assert rate.by_rounding == sum(bool(found.rounded) for found in tried)
        assert rate.by_any == sum(found.attainable for found in tried)
    assert {(r.dataset, r.n) for r in audited.rates} == {
        ("messidor2", 522),
        ("btmd", 1311),
        ("ham10000", 3001),
        ("busi", 233),
    }
    # With one decimal 1001 numbers can be printed, and 3001 images reach every one.
    assert chance.attainable(3001, 1, chance.BY_ROUNDING) == 1001


def test_hits_by_chance_are_those_of_independent_trials(audited: PaperAudit) -> None:
    whole = audited.chances[-1]
    assert (whole.what, whole.cells) == ("all", 80)
    texts = {(e.number.dataset, e.number.printed.text) for e in audited.entries if e.grim}
    shares = [{r.dataset: r.by_rounding / r.printable for r in audited.rates}[d] for d, _ in texts]
    assert whole.numbers == len(texts) == 61
    assert whole.by_rounding.expected == pytest.approx(sum(shares))
    rounded = {
        (e.number.dataset, e.number.printed.text)
        for e in audited.entries
        if e.grim and e.grim.rounded
    }
    assert whole.by_rounding.found == len(rounded)
    by_table = {c.what: c for c in audited.chances}
    # Of one table with one rate: the binomial tail.
    busi = by_table["Table 7"]
    rate = 234 / 10_001
    assert busi.by_rounding.found == 4
    assert busi.by_rounding.p_as_many == pytest.approx(rate**4)
    assert busi.by_rounding.p_as_few == pytest.approx(1.0)
    others = by_table["Table 8 without the default setting"]
    assert (others.cells, others.numbers) == (28, 27)
    assert others.by_rounding.p_as_many > 0.05  # no more counts than chance gives
    assert by_table["Table 1"].by_rounding.p_as_many < 1e-9
    values = audited.to_json()
    assert [c["what"] for c in values["grim_by_chance"]] == list(by_table)
    assert len(values["grim_rates"]) == 4
    text = page.to_markdown(paper_page.page(audited))
    assert "## Counts by chance" in text
    assert "523 of 10001 by rounding, 5.2 %" in text


@given(st.lists(st.floats(0.0, 1.0), max_size=12))
def test_the_distribution_of_hits_has_its_mean_and_variance(shares: list[float]) -> None:
    counts = chance.distribution(shares)
    assert len(counts) == len(shares) + 1
    assert sum(counts) == pytest.approx(1.0)
    mean = sum(k * p for k, p in enumerate(counts))
    assert mean == pytest.approx(sum(shares), abs=1e-9)
    variance = sum((k - mean) ** 2 * p for k, p in enumerate(counts))
    assert variance == pytest.approx(sum(s * (1 - s) for s in shares), abs=1e-9)


@given(n=st.integers(2, 3001), data=st.data(), way=st.sampled_from(sorted(CONVENTIONS)))
def test_no_two_counts_printed_in_one_way_are_called_too_close(
    n: int, data: st.DataObject, way: str
) -> None:
    counts = data.draw(st.tuples(st.integers(0, n), st.integers(0, n)))
    units = [CONVENTIONS[way](Fraction(10_000 * k, n)) for k in counts]
    a, b = (replace(NUMBERS[0], printed=Printed(f"{u // 100}.{u % 100:02}"), n=n) for u in units)
    assert not inconsistent.too_close(a, b)


def test_numbers_with_other_decimals_are_not_called_too_close() -> None:
    """75.0 and 75.01 can be one count."""
    a, b = (replace(NUMBERS[0], printed=Printed(text), n=522) for text in ("75.0", "75.01"))
    assert not inconsistent.too_close(a, b)
    closer = replace(a, printed=Printed("75.02"))
    assert inconsistent.too_close(closer, b)


def test_three_rows_equal_the_constant_answer(audited: PaperAudit) -> None:
    """305 of 522: 1017 of 1744 images have no retinopathy, 304.4 of 522."""
    equal = [(e.number.dataset, e.number.row) for e in audited.collapsed]
    assert equal == [("messidor2", name) for name in ("simmim", "resnet50", "swin")]
    messidor = next(c for c in audited.constants if c.dataset == "messidor2")
    assert messidor.counts == (304, 305)
    assert pytest.approx(messidor.expected) == 522 * 1017 / 1744
    shared = {(dataset, count): labels for _, dataset, count, labels in repeated(audited.entries)}
    assert len(shared["messidor2", 305]) == 3


def test_the_range_of_a_random_split_is_hypergeometric() -> None:
    found = constant.constant(registry.find("busi"))
    assert found is not None

    def below(k: int) -> float:  # P(X <= k), X benign among 233 of 780
        drawn = sum(comb(437, i) * comb(343, 233 - i) for i in range(k + 1))
        return float(Fraction(drawn, comb(780, 233)))

    assert below(found.low - 1) < 0.025 <= below(found.low)
    assert below(found.high - 1) < 0.975 <= below(found.high)
    official = constant.constant(registry.find("btmd"))
    assert official is not None and official.counts == (405,)


def test_margins_of_the_four_best_cells(audited: PaperAudit) -> None:
    found = [(m.best.dataset, m.second.row, m.smallest, m.largest) for m in audited.margins]
    assert found == [
        ("messidor2", "mocov3", 11, 11),
        ("btmd", "amt", 3, 3),
        ("ham10000", "swin", 8, 8),
        ("busi", "vit", 8, 8),
    ]
    # All discordant images on one side: 2 (1/2)^d.
    p = {m.best.dataset: m.p_best for m in audited.margins}
    assert p["messidor2"] == pytest.approx(2 / 2**11)
    assert p["btmd"] == pytest.approx(0.25)
    assert p["busi"] == pytest.approx(2 / 2**8)
    assert {m.best.dataset: m.most_lost for m in audited.margins}["btmd"] is None


@given(n=st.integers(1, 40), data=st.data())
def test_no_pairing_of_two_counts_is_outside_the_range_of_p(n: int, data: st.DataObject) -> None:
    a, b = (data.draw(st.integers(0, n)) for _ in range(2))
    a, b = max(a, b), min(a, b)
    low, high = paired_range(a, b, n)
    both = data.draw(st.integers(max(0, a + b - n), b))  # images that both get right
    first, second = a - both, b - both
    tail = sum(comb(first + second, i) for i in range(min(first, second) + 1))
    p = min(1.0, 2 * tail / 2 ** (first + second))
    assert low - 1e-12 <= p <= high + 1e-12


def test_a_pairing_is_significant_up_to_the_lost_images_that_are_named() -> None:
    assert margins.most_lost(331, 320, 522) == 7

    def p(lost: int) -> float:
        tail = sum(comb(11 + 2 * lost, i) for i in range(lost + 1))
        return 2 * tail / 2 ** (11 + 2 * lost)

    assert p(7) < 0.05 <= p(8)


def test_an_unattainable_number_takes_its_neighbours() -> None:
    simclr = find(NUMBERS, "table1", "simclr", "messidor2", "accuracy")
    assert margins.counts(simclr) == (311, 312)  # 311.895


def test_the_text_s_arithmetic_agrees_and_errors_would_be_found(audited: PaperAudit) -> None:
    assert len(audited.arithmetic) == 16
    assert all(c.agrees for c in audited.arithmetic)
    percent = {c.printed: (c.low, c.high) for c in audited.arithmetic}
    assert percent["74.08"][0] < 100 * (1 - 4.37 / 16.86) < percent["74.08"][1]
    # MoCo v3 one hundredth higher: its arrow is wrong. Swin-T on top of MSMAE's rival: another.
    wrong = [c for c in arithmetic.check(_changed("table1", "mocov3", "messidor2", "61.31"))
             if not c.agrees]  # fmt: skip
    assert [(c.source, c.printed) for c in wrong] == [("Table 1, arrow", "2.11")]
    others = arithmetic.check(_changed("table1", "swin", "btmd", "98.30"))
    assert any("but the best rival is Swin-T" in c.remark for c in others)


def test_inconsistencies_are_computed_from_the_numbers() -> None:
    found = inconsistent.findings(NUMBERS)
    texts = [f.text for f in found if f.computed]
    for part in (
        "f-bs 64 gives 63.98 on messidor2",
        "p-mwui 60 gives 63.55 on messidor2",
        "gp False gives 98.47 on btmd",
        "ViT-B 59.77 and SimCLR 59.75 differ by 0.10 of one image (n = 522)",
        "SimCLR 75.00 and MAE 75.01 differ by 0.30 of one image (n = 3001)",
        "is a count of images (2251 gives both, one rounded, one truncated)",
        "adds 0.04 points (I to IV), which are 0.2 of 522",
        "AMT is 15.71 points above MAE on BTMD",
        "45 % / 40 %: 15 %",
        "68.41 is no count of 522 images",
    ):
        assert any(part in text for text in texts), part
    repaired = _changed("table8", "gp-off", "btmd", "98.17")
    assert not any("gp False" in f.text for f in inconsistent.findings(repaired))
    assert all(f.source for f in found)


def test_an_f1_that_its_iou_does_not_allow_is_found(audited: PaperAudit) -> None:
    """A mean F1 lies between the mean IoU x and 2 x / (1 + x)."""
    assert all(e.ok for e in audited.entries if e.check == "F1 against IoU")
    old = find(NUMBERS, "table2", "mae", "busi", "f1")
    for text in ("61.20", "43.80"):
        changed = [replace(n, printed=Printed(text)) if n is old else n for n in NUMBERS]
        assert any("which its IoU allows" in f.text for f in inconsistent.findings(changed))


def test_both_conventions_of_flops_and_both_halves_of_the_loss(audited: PaperAudit) -> None:
    counted = {(f.tokens, f.convention): f for f in audited.flops}
    assert counted[197, "thop-macs"].equal and counted[50, "thop-macs"].equal
    assert round(counted[197, "fvcore-macs"].giga, 2) == 17.58
    assert not counted[197, "fvcore-macs"].equal
    halves = {h.classes: h for h in audited.halves}
    assert halves[5].start == pytest.approx(0.16094, abs=1e-5)  # 0.1 ln 5
    assert halves[5].floor_twice == pytest.approx(0.090483, abs=1e-6)
    assert halves[5].share_norm == pytest.approx(0.16094 / (768**0.5 + 0.16094), abs=1e-6)


def test_the_committed_pages_are_those_of_the_tables(audited: PaperAudit) -> None:
    """``harness audit paper --format md,tex,json`` writes them anew."""
    reports = ROOT / "reports"
    written = paper_page.page(audited)
    texts = {"audit_paper.md": page.to_markdown(written), **page.to_latex(written, "audit_paper")}
    for name, text in texts.items():
        assert (reports / name).read_text("utf-8") == text
    values = json.loads((reports / "audit_paper.json").read_text("utf-8"))
    assert values == json.loads(json.dumps(audited.to_json()))


def test_the_latex_page_compiles(audited: PaperAudit, tmp_path: Path) -> None:
    if reason := typesetting.lacking():
        pytest.skip(reason)
    made = page.to_latex(paper_page.page(audited), "audit_paper")
    ran = typesetting.compile_document(tmp_path, made["audit_paper.tex"], two_columns=True)
    assert ran.returncode == 0, ran.stdout[-2000:]
    assert typesetting.faults(ran) == []
    bare = page.to_latex(paper_page.page(audited), "audit_paper", TableStyle(name="paper"))
    ran = typesetting.compile_document(tmp_path, typesetting.floated(bare), two_columns=True)
    assert (ran.returncode, typesetting.faults(ran)) == (0, [])
