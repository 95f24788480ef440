"""Names folded by the width of their letters: they fit, and different ones stay different."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from harness.report import fold, style
from harness.report.style import Style

SAME = "Masked autoencoder with random masks, mask ratio "


@given(st.text(max_size=60), st.integers(4, 30), st.integers(1, 3))
@settings(max_examples=50, deadline=None)
def test_lines_are_no_wider_than_their_place(text: str, letters: int, lines: int) -> None:
    with style.applied(Style()):
        folded = fold.folded(text, letters, lines).split("\n")
        assert len(folded) <= lines
        assert all(fold.width(line) <= letters * fold.LETTER / 72 + 1e-9 for line in folded[:-1])
    assert all(c.isprintable() for line in folded for c in line)


@given(
    st.lists(st.text("abcW %", max_size=40), min_size=1, max_size=8),
    st.integers(6, 30),
    st.integers(1, 3),
)
@settings(max_examples=100, deadline=None)
def test_names_stay_apart(texts: list[str], letters: int, lines: int) -> None:
    with style.applied(Style()):
        names = [f"row{number}" for number in range(len(texts))]
        folded = fold.all_folded(texts, letters, lines, names=names)
    assert len(set(folded)) == len(texts)
    assert all(text.count("\n") < lines for text in folded)


def test_what_differs_is_kept() -> None:
    with style.applied(Style()):
        for letters, lines in ((18, 2), (12, 3), (26, 1)):
            texts = [f"{SAME}75 %", f"{SAME}50 %"]
            first, second = fold.all_folded(texts, letters, lines)
            assert first.endswith("75 %") and second.endswith("50 %")
            assert first.startswith("Mask")
        assert fold.all_folded(["MAE", "MAE", "AMT"], 12, 2, names=["a", "b", "c"]) == [
            "MAE\n(a)",
            "MAE\n(b)",
            "AMT",
        ]


def test_wide_letters_take_more_room() -> None:
    with style.applied(Style()):
        assert fold.folded("W" * 12, 12, 2).count("\n") == 1
        assert fold.folded("l" * 20, 12, 2).count("\n") == 0
