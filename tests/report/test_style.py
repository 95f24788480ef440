"""The style of figures: names that do not overlap, settings that are ours, clean texts."""

from __future__ import annotations

import numpy as np
import pytest

from harness.errors import UserError
from harness.report import style
from harness.report.labels import Named, place
from harness.report.style import Style


def _figure(points: list[Named], *, placed: bool) -> list[tuple[str, str]]:
    how = Style()
    with style.applied(how):
        figure = style.new(how, 2.6)
        axes = figure.add_subplot()
        axes.scatter([p.x for p in points], [p.y for p in points], s=36)
        axes.margins(0.2)
        if placed:
            place(axes, points)
        else:
            for point in points:
                axes.annotate(point.text, (point.x, point.y), fontsize=7)
        return style.overlaps(figure)


def _crowd(count: int = 9) -> list[Named]:
    random = np.random.default_rng(0)
    x, y = random.normal(size=(2, count)) * 0.1
    crowd = [
        Named(x=float(a), y=float(b), text=f"Method {i}")
        for i, (a, b) in enumerate(zip(x, y, strict=True))
    ]
    return [*crowd, Named(x=2.0, y=2.0, text="far away")]


def test_names_of_close_points_do_not_overlap() -> None:
    assert _figure(_crowd(), placed=False)  # or the test could not fail
    assert _figure(_crowd(), placed=True) == []


def test_equal_points_have_separate_names() -> None:
    points = [Named(x=1.0, y=1.0, text=f"Row {i}", radius=3) for i in range(4)]
    assert _figure(points, placed=False)
    assert _figure(points, placed=True) == []


def test_a_text_beyond_the_edge_is_found() -> None:
    with style.applied(Style()):
        figure = style.new(Style(), 1.0)
        figure.text(0.9, 0.5, "much too long for this place")
        assert style.overlaps(figure) == [
            ("much too long for this place", "the edge of the figure")
        ]


def test_a_users_own_settings_change_nothing() -> None:
    import matplotlib

    def svg() -> bytes:
        with style.applied(Style()):
            figure = style.new(Style(), 1.0)
            figure.add_subplot().plot([1, 2], label="$x$")
            return style.save(figure, "svg")

    before = svg()
    with matplotlib.rc_context({"font.size": 20, "axes.facecolor": "red", "svg.fonttype": "none"}):
        assert svg() == before
        assert matplotlib.rcParams["font.size"] == 20  # and theirs are as they were


def test_colours_and_patterns_of_many_lines_differ() -> None:
    lines = [(style.colour(n), str(style.dashes(n))) for n in range(21)]
    assert len(set(lines)) == 21
    assert len({(style.colour(n), style.marker(n)) for n in range(21)}) == 21
    assert len({str(style.dashes(n)) for n in range(7)}) == 7
    assert len({style.marker(n) for n in range(7)}) == 7


def test_what_is_no_width_or_format_is_refused() -> None:
    with pytest.raises(UserError):
        Style(width=0.1)
    with style.applied(Style()), pytest.raises(UserError, match="svg"):
        style.save(style.new(Style(), 1.0), "bmp")
