"""Near-twins: sketches, and the search against one that compares every pair in words."""

from __future__ import annotations

from collections.abc import Iterator

import imagehash
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFilter

from harness.data import twins
from harness.data.twins import GREY_SIDE, HASH_BYTES, RULES, SKETCH, TwinRule, components, search

PIXELS = GREY_SIDE**2


def test_a_sketch_is_the_difference_hash_and_the_area_average() -> None:
    ramp = np.tile(np.arange(0, 64, dtype=np.uint8), (96, 1))
    image = Image.fromarray(ramp)
    sketch = twins.sketch(image)
    assert sketch.shape == (SKETCH,)
    # Every pixel is brighter than its left neighbour.
    assert sketch[:HASH_BYTES].tolist() == [255] * HASH_BYTES
    # Pairs of columns 0 and 1, 2 and 3, ... average to n + 0.5, which PIL rounds up.
    grey = sketch[HASH_BYTES:].reshape(GREY_SIDE, GREY_SIDE)
    assert grey[5].tolist() == list(range(1, 64, 2))
    colours = Image.merge("RGB", (image, image, image))
    np.testing.assert_array_equal(twins.sketch(colours), sketch)
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (50, 70, 3), np.uint8))
    bits = np.unpackbits(twins.sketch(noise)[:HASH_BYTES]).astype(bool)
    np.testing.assert_array_equal(bits, imagehash.dhash(noise, 16).hash.ravel())


def _sketches(seed: int, count: int) -> np.ndarray:
    """Return sketches of families that differ in some bits and some grey levels."""
    random = np.random.default_rng(seed)
    heads = random.integers(0, 256, (4, SKETCH), np.uint8)
    heads[0, HASH_BYTES:] = 7  # a family of images of one grey level
    sketches = heads[random.integers(0, 4, count)]
    for row in sketches:
        for bit in random.integers(0, 256, random.integers(0, 14)):
            row[bit // 8] ^= 1 << (bit % 8)
        if random.random() < 0.5 and row[HASH_BYTES:].std() > 0:
            noise = random.normal(0, random.uniform(0, 15), PIXELS)
            row[HASH_BYTES:] = np.clip(row[HASH_BYTES:] + noise, 0, 255).astype(np.uint8)
        elif random.random() < 0.5:
            row[HASH_BYTES:] = random.integers(0, 3)
    return sketches


def _one_by_one(sketches: np.ndarray, rule: TwinRule) -> Iterator[tuple[int, int]]:
    for a in range(len(sketches)):
        for b in range(a + 1, len(sketches)):
            bits = [np.unpackbits(sketches[i, :HASH_BYTES]) for i in (a, b)]
            first, second = (sketches[i, HASH_BYTES:].astype(float) for i in (a, b))
            if first.std() == 0 or second.std() == 0:
                alike = 1.0 if (first == second).all() else 0.0
            else:
                alike = float(np.corrcoef(first, second)[0, 1])
            if (bits[0] != bits[1]).sum() <= rule.distance and alike > rule.correlation:
                yield a, b


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    count=st.integers(0, 40),
    distance=st.integers(0, 16),
    correlation=st.sampled_from([0.98, 0.99, 0.995]),
    tile=st.sampled_from([(1, 1), (3, 7), (16, 8), (64, 4096)]),
)
def test_the_search_finds_what_a_comparison_one_by_one_finds(
    seed: int, count: int, distance: int, correlation: float, tile: tuple[int, int]
) -> None:
    sketches, rule = _sketches(seed, count), TwinRule(distance=distance, correlation=correlation)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(twins, "ROWS", tile[0])
        patch.setattr(twins, "COLUMNS", tile[1])
        patch.setattr(twins, "CHUNK", 5)
        blocks = list(search(sketches, rule))
    found = [pair for b in blocks for pair in zip(b.first.tolist(), b.second.tolist(), strict=True)]
    assert sorted(found) == list(_one_by_one(sketches, rule))


def test_the_bounds_are_as_stated() -> None:
    """Distance at most, correlation above: both taken at their very values."""
    sketches = np.tile(np.random.default_rng(0).integers(0, 256, SKETCH, np.uint8), (2, 1))
    sketches[1, 0] ^= 0b10010000  # two bits
    (pairs,) = search(sketches, TwinRule(distance=2, correlation=0.999))
    assert pairs.distance.tolist() == [2]
    assert pairs.correlation.tolist() == [1.0]
    assert not list(search(sketches, TwinRule(distance=1, correlation=0.999)))
    assert not list(search(sketches, TwinRule(distance=2, correlation=1.0)))


def test_images_of_one_grey_level_are_twins_of_their_equals_only() -> None:
    levels = (0, 0, 9, 255, 255)
    flat = [twins.sketch(Image.new("L", (40, 30), level)) for level in levels]
    lit = Image.new("L", (640, 480), 0)
    lit.putpixel((3, 3), 200)
    sketches = np.stack([*flat, twins.sketch(lit)])
    found = [
        (a, b)
        for pairs in search(sketches, RULES.join)
        for a, b in zip(pairs.first.tolist(), pairs.second.tolist(), strict=True)
    ]
    assert found == [(0, 1), (3, 4)]


def test_the_same_photograph_saved_again_is_a_twin_and_a_mirrored_one_is_not() -> None:
    random = np.random.default_rng(1)
    rough = Image.fromarray(random.integers(0, 256, (12, 16), np.uint8))
    image = rough.resize((640, 480), Image.Resampling.BICUBIC).filter(ImageFilter.GaussianBlur(3))
    smaller = image.resize((320, 240)).point(lambda value: value * 0.9 + 10)
    mirrored = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    sketches = np.stack([twins.sketch(one) for one in (image, smaller, mirrored)])
    (pairs,) = search(sketches, RULES.check)
    assert (pairs.first.tolist(), pairs.second.tolist()) == ([0], [1])


def test_the_joining_rule_is_looser_than_the_checking_one() -> None:
    assert RULES.join.distance > RULES.check.distance
    assert RULES.join.correlation < RULES.check.correlation


@settings(max_examples=50, deadline=None)
@given(
    count=st.integers(1, 30),
    links=st.lists(
        st.lists(st.tuples(st.integers(0, 29), st.integers(0, 29)), max_size=6), max_size=6
    ),
    waiting=st.sampled_from([0, 3, 1000]),
)
def test_components_are_those_of_a_walk(
    count: int, links: list[list[tuple[int, int]]], waiting: int
) -> None:
    blocks = [[(a % count, b % count) for a, b in block] for block in links]
    arrays = [np.array(block, np.int64).reshape(-1, 2).T for block in blocks]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(twins, "LINKS", waiting)
        found = components(count, [(array[0], array[1]) for array in arrays])
    walked = list(range(count))
    for _ in range(count):
        for a, b in (link for block in blocks for link in block):
            walked[a] = walked[b] = min(walked[a], walked[b])
    assert [[x == y for y in found] for x in found] == [[x == y for y in walked] for x in walked]
