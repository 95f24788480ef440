"""Numbers that are typed in: signs, units, and options that say nothing about them."""

from __future__ import annotations

import json

import pytest

from harness.cli.options import typed_of, with_negatives
from harness.cli.verdict import OF_TABLES
from harness.spec.printed import Printed
from harness.verdict.units import mixed
from tests.conftest import Harness

TYPED = ("--values", "83.4,83.6", "--published", "83.6", "--margin", "1")


@pytest.mark.parametrize("joined", [True, False])
def test_values_may_begin_with_a_minus_sign(harness: Harness, *, joined: bool) -> None:
    values = ["--values=-1,-2,-1.5"] if joined else ["--values", "-1,-2,-1.5"]
    code, out, err = harness("verdict", *values, "--published", "-1.4", "--margin", "1", "--json")
    assert (code, err) == (0, "")
    assert json.loads(out)["values"] == [-1, -2, -1.5]


@pytest.mark.parametrize(
    ("words", "joined"),
    [
        (["--values", "-1,-2"], ["--values=-1,-2"]),
        (["--values", "-.5"], ["--values=-.5"]),
        (["--values", "-1e-3,2"], ["--values=-1e-3,2"]),
        (["--values=1", "-1"], ["--values=1", "-1"]),
        (["--values", "--margin", "-1"], ["--values", "--margin=-1"]),
        (["run", "-x"], ["run", "-x"]),
        (["-1"], ["-1"]),
    ],
)
def test_only_numbers_are_joined_to_an_option(words: list[str], joined: list[str]) -> None:
    assert with_negatives(words) == joined


VALUES_OF = {
    "--split": "clean",
    "--rule": "last",
    "--set": "recipe.epochs=1",
    "--seeds": "0",
    "--profile": "smoke",
    "--format": "md,tex,json",
    "--style": "paper",
}


@pytest.mark.parametrize("option", OF_TABLES)
def test_options_of_tables_are_refused_and_named(harness: Harness, option: str) -> None:
    given = [option] if option in ("--probes", "--force") else [option, VALUES_OF.get(option, "x")]
    code, out, err = harness("verdict", *TYPED, *given)
    assert (code, out) == (2, "")
    assert err.startswith(f"harness: {option} select runs of tables")


def test_all_options_of_tables_are_named_at_once(harness: Harness) -> None:
    code, _, err = harness("verdict", *TYPED, "--out=x", "--rows", "a", "--prof", "smoke")
    assert code == 2
    assert "--profile, --rows, --out select" in err


def test_every_option_applies_to_tables_or_to_values() -> None:
    from harness.cli.main import _parser

    group = _parser()._subparsers
    assert group is not None
    choices = group._group_actions[0].choices
    assert choices is not None
    known = {o for a in choices["verdict"]._actions for o in a.option_strings}  # type: ignore[index]
    of_values = {"--values", "--published", "--margin", "--basis", "--images", "--json"}
    of_values |= {"--published-runs"} & known
    of_both = {"-h", "--help", "--plugins", "--traceback", "--margins", "--config"}
    of_both |= {"--no-probes"}
    assert known - of_both == of_values | set(OF_TABLES)
    assert typed_of(["verdict", "--data", "d"], OF_TABLES) == ("--data",)


@pytest.mark.parametrize(
    ("values", "published", "fraction"),
    [
        ((0.83, 0.84), "83.6", "ours"),
        ((83.4, 83.7), "0.836", "the published one"),
        ((83.4, 83.7), "83.6", ""),
        ((0.83, 0.84), "0.836", ""),
        ((0.83, 0.84), "12.0", ""),  # no ratio of about 100
        ((8300.0, 8400.0), "83.6", ""),  # neither is a fraction of 1
        ((0.0, 0.0), "83.6", ""),
        ((), "83.6", ""),
    ],
)
def test_fraction_beside_percentage_is_remarked(
    values: tuple[float, ...], published: str, fraction: str
) -> None:
    remark = mixed(Printed(published), values)
    assert (f"perhaps {fraction} is a fraction" in remark) if fraction else remark == ""


def test_units_that_differ_are_said(harness: Harness) -> None:
    words = ("--values", "0.83,0.84", "--published", "83.6", "--margin", "1")
    code, out, _ = harness("verdict", *words)
    assert code == 0
    assert "the units seem to differ (0.835 against 83.6, a ratio of about 100)" in out
    _, out, _ = harness("verdict", *words, "--json")
    assert any("units" in fact for fact in json.loads(out)["facts"])


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--published-runs", "3", "--basis", "mean"], "leave one of them out"),
        (["--published-runs", "0"], "whole number from 1"),
        (["--images", "100"], "--images needs --basis draw or --published-runs"),
    ],
)
def test_runs_of_the_published_number_are_checked(
    harness: Harness, given: list[str], said: str
) -> None:
    code, _, err = harness("verdict", *TYPED, *given)
    assert code == 2
    assert said in err


def test_published_mean_of_runs_is_a_draw_of_their_mean(harness: Harness) -> None:
    code, out, _ = harness("verdict", *TYPED, "--published-runs", "3")
    assert code == 0
    (line,) = (line for line in out.splitlines() if "rests on it" in line)
    assert "a draw of the mean of 3 runs" in line
    # 83.67 % is 251 of 300 answers, and no share of 100 images.
    one = ("--values", "83,84", "--published", "83.67", "--margin", "1", "--images", "100")
    assert "unattainable" in harness("verdict", *one, "--published-runs", "1")[1]
    assert "unattainable" not in harness("verdict", *one, "--published-runs", "3")[1]
    code, _, err = harness("verdict", "table7", "--published-runs", "3")
    assert code == 2
    assert "--published-runs belongs to --values" in err
