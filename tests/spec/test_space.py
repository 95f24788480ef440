"""Spaces of sweeps: what is drawn can always be trained, equal settings have equal values."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import UserError
from harness.plan import catalog
from harness.spec.space import SHARE, Choice, Real, Space, SumAtMost, Whole

MASK = Real(name="mask", fields=("a.method.mask",), low=0.1, high=0.7, step=0.1)
THROW = Real(name="throw", fields=("a.method.throw",), low=0.0, high=0.6, step=0.15)
FREE = Real(name="throw", fields=("a.method.throw",), low=0.05, high=0.6)
SUM = SumAtMost(name="mask + throw < 1", dimensions=("mask", "throw"), total=0.8)


def _space(*dimensions: Any, **options: Any) -> Space:
    return Space(dimensions=dimensions, constraints=(SUM,), **options)


@given(mask=st.integers(0, 6), share=st.floats(0, 1), step=st.booleans())
def test_every_draw_keeps_the_constraint(mask: int, share: float, step: bool) -> None:
    space = _space(MASK, THROW if step else FREE)
    drawn = {"mask": 0.1 + 0.1 * mask, "throw" + SHARE: share}
    values = space.decode(drawn)
    assert space.allows(values)
    assert float(values["mask"]) + float(values["throw"]) < 1
    again = space.decode(space.encode(values))
    assert again == pytest.approx(values)
    if step:
        assert again == values
        assert values["throw"] in THROW.levels()
    else:
        top = min(0.6, 0.8 - float(values["mask"]))
        assert values["throw"] == pytest.approx(0.05 + share * (top - 0.05))


def test_floating_point_makes_no_second_key() -> None:
    space = Space(dimensions=(MASK,))
    assert space.decode({"mask": 0.1 + 0.1 + 0.1}) == {"mask": 0.3}
    rate = Real(name="rate", fields=("a.recipe.rate",), low=0.01, high=1.0, log=True, digits=1)
    space = Space(dimensions=(rate,))
    assert space.decode({"rate": 0.0123}) == {"rate": 0.01}
    assert space.decode({"rate": 0.0951}) == {"rate": 0.1}


def test_every_level_can_be_drawn_and_is_drawn_evenly() -> None:
    space = _space(MASK, THROW)
    shares = [(k + 0.5) / 100 for k in range(100)]
    drawn = [space.decode({"mask": 0.1, "throw" + SHARE: share})["throw"] for share in shares]
    assert {drawn.count(level) for level in THROW.levels()} == {20}
    assert space.decode({"mask": 0.7, "throw" + SHARE: 0.9}) == {"mask": 0.7, "throw": 0.0}


def test_the_grid_is_every_allowed_combination() -> None:
    grid = _space(MASK, THROW).grid()
    every = [(m, t) for m in MASK.levels() for t in THROW.levels() if m + t <= 0.8 + 1e-9]
    assert [(p["mask"], p["throw"]) for p in grid] == every
    space = _space(MASK, THROW)
    assert all(space.decode(space.encode(point)) == point for point in grid)


def test_a_fixed_dimension_leaves_its_room_to_the_others() -> None:
    space = _space(MASK, THROW).without({"throw": 0.3})
    assert [d.name for d in space.dimensions] == ["mask"]
    assert space.bound("mask") is not None
    assert space.decode({"mask" + SHARE: 1.0}) == {"mask": 0.5}
    with pytest.raises(UserError, match=r"can reach 1, allowed: 0.8; narrow"):
        _space(MASK, THROW).without({"throw": 0.9})


def test_the_corners_are_the_extremes() -> None:
    kind = Choice(name="kind", fields=("a.method.kind",), choices=("x", "y", "z"))
    count = Whole(name="count", fields=("a.method.count",), low=1, high=9)
    corners = list(Space(dimensions=(kind, count)).corners())
    assert len(corners) == 6
    assert corners[0] == {"kind": "x", "count": 1}
    assert {c["throw"] for c in _space(MASK, THROW).corners()} == {0.0, 0.6}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Real(name="x", fields=(), low=1.0, high=1.0), "low must be below high"),
        (lambda: Real(name="x", fields=(), low=0.0, high=1.0, step=0.3), "steps of 0.3 do not"),
        (
            lambda: Real(name="x", fields=(), low=0.0, high=1.0, step=0.0),
            "real.step is 0.0; allowed",
        ),
        (lambda: Real(name="x", fields=(), low=0.0, high=1.0, log=True), "low above 0 and no step"),
        (lambda: Whole(name="x", fields=(), low=0, high=9, step=3, grid=(4,)), "4 in its grid"),
        (lambda: Choice(name="x", fields=(), choices=("a", "a")), "choices that differ"),
        (lambda: Space(dimensions=(MASK, MASK)), "the dimension 'mask' twice"),
        (lambda: _space(MASK), "No dimension 'throw'"),
        (lambda: _space(THROW, MASK), "in the space's order"),
        (lambda: Space(dimensions=(FREE,)).grid(), "neither step nor grid"),
        (
            lambda: Space(
                dimensions=(MASK, Choice(name="throw", fields=("b",), choices=(0.1, 0.2))),
                constraints=(SUM,),
            ),
            "a sum needs numbers",
        ),
    ],
)
def test_spaces_that_cannot_be_are_refused(make: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        make()


def test_the_masking_sweep_never_leaves_nothing_to_see() -> None:
    _, sweep = catalog.load_sweep("sweep_masking")
    grid = sweep.space.grid()
    sums = {round(float(p["mask_ratio"]) + float(p["throw_ratio"]), 9) for p in grid}
    assert max(sums) == pytest.approx(0.9)
    levels = math.prod(len(d.levels()) for d in sweep.space.dimensions)
    assert 0 < len(grid) < levels
    paper = {"mask_ratio": 0.45, "throw_ratio": 0.3, "lambda": 0.1}
    assert any(paper.items() <= point.items() for point in grid)  # the paper's setting
