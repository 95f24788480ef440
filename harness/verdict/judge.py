"""The verdict on one published number, from what is known about it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from harness.report.numbers import bracket, fixed, signed
from harness.stats import grid, intervals, location
from harness.stats.multiple import significant
from harness.verdict import seeds
from harness.verdict.grim import TRUNCATED, Grim, grim
from harness.verdict.seeds import within
from harness.verdict.values import LEVEL, Basis, Evidence, Test, Verdict, Word

MOST_RUNS = 5
"""Largest number of runs whose mean is looked for where no single run gives a number."""

BASES: tuple[Basis, ...] = ("mean", "draw")
"""The bases of the tests, both of which are made."""


@dataclass(frozen=True, kw_only=True)
class _Fact:
    """Something that is known of a number, and the verdict that follows from it, if any."""

    text: str
    word: Word | None = None


def judge(evidence: Evidence) -> Verdict:
    """Return the verdict: the first word of ``values.MEANINGS`` that applies.

    What is known of the published number alone comes first, since no run of ours can change it;
    then what keeps ours from being compared; then the tests.
    """
    published = _published(evidence)
    verdict = _judge(evidence, published)
    if any(fact.word is not None for fact in published) and evidence.values:
        # What a comparison would say if the number were one that runs could give.
        otherwise = _judge(evidence, ())
        said = f"otherwise {otherwise.text}: {otherwise.reason}"
        verdict = replace(verdict, facts=(*verdict.facts, said))
    return replace(verdict, facts=(*verdict.facts, *_floor(verdict), *evidence.remarks))


def _judge(evidence: Evidence, published: Sequence[_Fact]) -> Verdict:
    """Return the verdict with the facts beside it, given what is known of the published number."""
    values, least = evidence.values, least_sd(evidence)
    blank = Verdict(
        word="undecidable",
        reason="",
        evidence=evidence,
        mean=intervals.mean(values) if values else None,
        sd=intervals.sd(values) if len(values) > 1 else None,
        least_sd=least,
        interval=intervals.t_interval(values, least=least) if len(values) > 1 else None,
        tests=tuple(_test(evidence, basis) for basis in BASES) if len(values) > 1 else (),
    )
    facts = [*published, *_obstacles(evidence)]
    decisive = next((fact for fact in facts if fact.word is not None), None)
    if decisive is not None and decisive.word is not None:
        verdict = replace(blank, word=decisive.word, reason=decisive.text)
    elif evidence.counted is not None:
        verdict = _counted(blank, evidence.counted)
    elif blank.tests and not evidence.lacking:
        verdict = _tested(blank)
    else:
        verdict = _too_few(blank)
    others = tuple(fact.text for fact in facts if fact is not decisive)
    return replace(verdict, facts=others)


def _floor(blank: Verdict) -> tuple[str, ...]:
    """Return that the values vary less than is believed; nothing where they vary enough."""
    if blank.sd is None or blank.sd >= blank.least_sd or not blank.tests:
        return ()
    vary = "do not vary" if blank.sd == 0.0 else f"vary by the sd {_number(blank.sd)} alone"
    return (
        f"the {len(blank.evidence.values)} values {vary}: tests and interval take half of"
        f" {_step(blank.evidence)[1]} as their sd, {_number(blank.least_sd)}",
    )


def least_sd(evidence: Evidence) -> float:
    """Return the smallest standard deviation of one of our values that is believed."""
    return grid.least_sd(_step(evidence)[0])


def _step(evidence: Evidence) -> tuple[float, str]:
    """Return the distance of neighbouring values that ours can have, and what it is."""
    n = evidence.n or (evidence.printed_n if evidence.is_share else None)
    image = f"one image of {n}"
    if evidence.step is not None:
        known = n is not None and math.isclose(evidence.step, 100 / n)
        return evidence.step, image if known else f"one last digit ({_number(evidence.step)})"
    # The published number has the decimals of its print, zeros included; those of typed values are
    # not known, so that the finer of both counts.
    step = grid.decimal_step(evidence.values)
    step = min(step, 2 * evidence.printed.resolution)
    # Shares of n images, as far as the typed decimals tell, whichever way they were rounded.
    if n and all(abs(round(v * n / 100) * 100 / n - v) <= step for v in evidence.values):
        return max(step, 100 / n), image
    return step, f"one last digit ({_number(step)})"


def _published(evidence: Evidence) -> list[_Fact]:
    """Return what is known of the published number alone."""
    printed, n = evidence.printed, evidence.printed_n
    if not evidence.is_share or not n:
        return []
    # A mean of k runs on n images is a share of k n answers.
    found = grim(printed, n * printed.runs)
    if not found.counts:
        text = f"{printed.text} % is no share of {_answers(printed.runs, n)}, rounded or truncated"
        return [_Fact(text=f"{text}{_mean_of(found, evidence)}", word="unattainable")]
    facts = []
    constants = {printed.runs * count for count in evidence.constants}
    if common := sorted(constants & set(found.counts)):
        of = _answers(printed.runs, n)
        text = f"{printed.text} % is {common[0]} of {of}, the constant answer's share"
        facts.append(_Fact(text=text, word="collapsed"))
    if not found.rounded:
        counts = " or ".join(map(str, found.fits[TRUNCATED]))
        text = f"{printed.text} % is {counts} of {_answers(printed.runs, n)} only by truncation"
        facts.append(_Fact(text=text))
    return facts


def _answers(runs: int, n: int) -> str:
    return f"{n} images" if runs == 1 else f"{runs * n} answers ({runs} runs on {n} images)"


def _mean_of(found: Grim, evidence: Evidence) -> str:
    """Return the caveat of an unattainable share: another number of runs may give it."""
    n, printed = evidence.printed_n, evidence.printed
    if n is None or printed.runs > 1:
        return ""
    runs = next((k for k in range(2, MOST_RUNS + 1) if grim(found.printed, k * n).rounded), None)
    mean = "" if runs is None else f"; a mean of {runs} runs could be"
    return f", if it is one run's share{mean}"


def _obstacles(evidence: Evidence) -> list[_Fact]:
    """Return what keeps our numbers from being compared with the published one."""
    facts = []
    if evidence.absent:
        facts.append(_Fact(text=evidence.absent, word="not run"))
    facts += [_Fact(text=reason, word="not comparable") for reason in evidence.foreign]
    runs = len(evidence.values)
    if evidence.collapsed:
        all_of_them = runs > 0 and evidence.collapsed >= runs
        text = f"{evidence.collapsed} of our {runs} runs predict one class alone"
        facts.append(_Fact(text=text, word="collapsed" if all_of_them else None))
    if evidence.lacking:
        facts.append(_Fact(text=evidence.lacking))
    return facts


def _counted(blank: Verdict, counted: float) -> Verdict:
    """Judge a number that is computed from shapes: equal if it is printed alike."""
    printed = blank.evidence.printed
    ours = fixed(counted, printed.digits)
    if abs(counted - printed.value) <= printed.resolution:
        reason = f"computed {ours}, published {printed.text}"
        return replace(blank, word="equal by computation", reason=reason, mean=counted)
    side: Literal["above", "below"] = "above" if counted > printed.value else "below"
    reason = f"computed {ours}, published {printed.text}: a count has no spread"
    return replace(blank, word="different", side=side, reason=reason, mean=counted)


def _test(evidence: Evidence, basis: Basis) -> Test:
    """Test the values against the published number, see ``Test``."""
    values, published = evidence.values, evidence.printed.value
    mean, least = intervals.mean(values), least_sd(evidence)
    draw = seeds.draw(evidence, basis)
    result = location.prediction_test(values, published, draw=draw, least=least)
    from scipy.special import stdtrit  # slow to import

    # TOST is significant where |difference| + t(1 - level) * error is below the margin.
    bound = float(stdtrit(len(values) - 1, 1 - LEVEL))
    bound *= location.error(values, draw=draw, least=least)
    margin = evidence.margin.value
    return Test(
        basis=basis,
        statistic=result.statistic,
        df=result.df,
        difference=result.p,
        equivalence=location.tost_of_prediction(values, published, margin, draw=draw, least=least),
        turns_at=abs(mean - published) + bound,
    )


def _tested(blank: Verdict) -> Verdict:
    """Judge values of several seeds by the test whose basis the evidence names."""
    evidence = blank.evidence
    test = next(test for test in blank.tests if test.basis == evidence.basis)
    differs, equivalent = _differs(blank, test), significant(test.equivalence)
    difference = _mean(blank) - evidence.printed.value
    digits = max(evidence.printed.digits, 2)
    shown = (
        f"{fixed(_mean(blank), digits)} against {evidence.printed.text}"
        f" ({signed(difference, digits)}; difference p {_p(test.difference)}, equivalence within"
        f" ± {_number(evidence.margin.value)} p {_p(test.equivalence)}{_rounded(blank, test)})"
    )
    if equivalent:
        word: Word = "equivalent, not equal" if differs else "reproduced"
        return replace(blank, word=word, reason=shown, rests_on=test)
    if differs:
        side: Literal["above", "below"] = "above" if difference > 0 else "below"
        return replace(blank, word="different", side=side, reason=shown, rests_on=test)
    needed = seeds.needed(evidence, max(blank.sd or 0.0, blank.least_sd), difference)
    decided = f"about {needed} seeds" if needed else f"no number of seeds up to {seeds.MOST}"
    sure = "" if evidence.basis == "draw" else " with 80 % probability"
    reason = f"{shown}; {decided} would decide{sure}, if mean and spread stay as they are"
    return replace(blank, word="undecidable", reason=reason, rests_on=test, seeds_needed=needed)


def _differs(verdict: Verdict, test: Test) -> bool:
    """Return whether a difference is shown: significant, and more than the print's rounding.

    The number behind "83.6" lies anywhere from 83.55 to 83.65. However little ours vary, a mean in
    there is not shown to be another number. Tests and equivalence take the print as it stands.
    """
    return significant(test.difference) and not _within_rounding(verdict)


def _within_rounding(verdict: Verdict) -> bool:
    printed = verdict.evidence.printed
    return within(_mean(verdict) - printed.value, printed.resolution)


def _rounded(verdict: Verdict, test: Test) -> str:
    """Return that a significant difference is one that the print's rounding may have made."""
    if not significant(test.difference) or not _within_rounding(verdict):
        return ""
    return f", but the print is rounded by up to {_number(verdict.evidence.printed.resolution)}"


def _too_few(blank: Verdict) -> Verdict:
    """Judge fewer than two values: no spread is known, so that nothing is decided."""
    evidence, count = blank.evidence, len(blank.evidence.values)
    if evidence.lacking:
        return replace(blank, reason=evidence.lacking)
    few = f"{count} seed{'' if count == 1 else 's'}: no spread over seeds"
    if evidence.sd is None:
        return replace(blank, reason=f"{few}; seeds needed: unknown, at least two")
    sd = max(evidence.sd.value, blank.least_sd)
    named = f"with the sd {_number(sd)} of {evidence.sd.source}"
    if sd > evidence.sd.value:
        named = (
            f"with the sd {_number(sd)}, half of {_step(evidence)[1]}, since that of"
            f" {evidence.sd.source} is less ({_number(evidence.sd.value)})"
        )
    difference = 0.0 if blank.mean is None else blank.mean - evidence.printed.value
    at = "no difference" if blank.mean is None else "the difference of this seed"
    found = seeds.needed(evidence, sd, difference)
    decided = f"about {found} seeds" if found else f"no number of seeds up to {seeds.MOST}"
    digits = max(evidence.printed.digits, 2)
    shown = f" ({signed(difference, digits)})" if blank.mean is not None else ""
    sure = "" if evidence.basis == "draw" else " with 80 % probability"
    reason = f"{few}; {named} and {at}{shown}, {decided} would decide{sure}"
    return replace(blank, reason=reason, seeds_needed=found)


def sensitivity(verdict: Verdict) -> str:
    """Return at which margins the verdict would be another; "" where it rests on no test."""
    test = verdict.rests_on
    if test is None:
        return ""
    differs = _differs(verdict, test)
    below, above = (
        ("different", "equivalent, not equal") if differs else ("undecidable", "reproduced")
    )
    return f"{below} below ± {_number(test.turns_at)}, {above} above"


def describe(verdict: Verdict) -> Sequence[str]:
    """Return the numbers behind a verdict, one line each."""
    evidence = verdict.evidence
    digits = max(evidence.printed.digits, 4)
    lines = []
    if verdict.mean is not None and verdict.evidence.values:
        spread = ""
        if verdict.sd is not None and verdict.interval is not None:
            spread = f", sd {fixed(verdict.sd, digits)}, 95 % {bracket(verdict.interval, digits)}"
        lines.append(f"ours: mean {fixed(verdict.mean, digits)}, n {len(evidence.values)}{spread}")
    if evidence.between_images is not None:
        interval = bracket(evidence.between_images, 2)
        lines.append(f"between images: 95 % {interval} for one run on {evidence.n} images")
    lines.append(f"margin: ± {_number(evidence.margin.value)} ({evidence.margin.source})")
    for test in verdict.tests:
        rests = "; the verdict rests on it" if test is verdict.rests_on else ""
        lines.append(
            f"{_basis(evidence, test.basis)}: t {fixed(test.statistic, 3)}, df {test.df},"
            f" p {_p(test.difference)}, equivalence p {_p(test.equivalence)}{rests}"
        )
    if text := sensitivity(verdict):
        lines.append(f"sensitivity: {text}")
    return [*lines, *verdict.facts]


def _basis(evidence: Evidence, basis: Basis) -> str:
    """Return what a basis of a test says."""
    runs = evidence.printed.runs
    drawn = "one run's draw" if runs == 1 else f"a draw of the mean of {runs} runs"
    return f"the published number taken as {'exact' if basis == 'mean' else drawn}"


def _mean(verdict: Verdict) -> float:
    assert verdict.mean is not None
    return verdict.mean


def _number(value: float) -> str:
    return f"{value:.4g}"


def _p(value: float) -> str:
    return f"{value:.3g}" if value >= 1e-4 else f"{value:.2e}"
