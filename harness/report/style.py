"""The style of all figures: widths of a paper's columns, fonts, and a palette for everybody.

The bytes of a file depend only on what is drawn and on the version of matplotlib: no date, no path
and no random identifier is in them. Captions are texts beside a figure, never inside it.
"""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from msgspec import Meta

from harness import ranges
from harness.errors import unknown
from harness.wording import counted

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.text import Text

PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Okabe and Ito's colours, which people with any colour vision can tell apart; without their
yellow, which nobody sees on white."""

DASHES = (
    "-",
    (0, (4, 1.5)),
    (0, (1, 1)),
    (0, (4, 1.2, 1, 1.2)),
    (0, (7, 1.5)),
    (0, (4, 1.2, 1, 1.2, 1, 1.2)),
    (0, (2, 1)),
)
"""Patterns of lines, one for each colour."""

MARKERS = ("o", "s", "^", "v", "P", "X", "p")
"""Shapes of points, one for each colour; the diamond is the paper's number."""

NEUTRAL, FAINT = "0.35", "0.85"
"""Greys of what is beside the point, and of grids."""

OUTLINE = "#00E5A8"
"""Colour of a lesion's outline, on grey images and on dark maps."""

MAPS = "magma"
"""Colours of attention and weights: brighter is more, also in grey."""

COLUMN, PAGE = 3.25, 6.75
"""Widths in inches of one column of a paper's page, and of two."""

LEAST, MOST = 2.5, 40.0
"""Narrowest and widest figure in inches: names of 6 to 8 points overlap in a narrower one."""

LARGEST = 1e100
"""Largest number that is drawn; matplotlib computes sums, products and ticks from it."""

FORMATS = ("svg", "pdf", "png")
"""Formats of figures."""

METADATA: dict[str, dict[str, None]] = {
    "svg": {"Date": None, "Creator": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
    "png": {"Software": None},
}
"""What matplotlib writes into a file by itself, all left out."""

FONTS = {"sans": ("DejaVu Sans", "dejavusans"), "serif": ("STIXGeneral", "stix")}
"""Families that matplotlib brings along; STIX looks like Times."""

PAD = 0.02
"""Space in inches around what a figure shows."""

SETTINGS: dict[str, Any] = {
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "legend.handlelength": 1.6,
    "axes.linewidth": 0.6,
    "axes.edgecolor": NEUTRAL,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.formatter.useoffset": False,
    "axes.formatter.limits": (-9, 9),
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "grid.color": FAINT,
    "grid.linewidth": 0.5,
    "lines.linewidth": 1.1,
    "lines.markersize": 3.5,
    "image.interpolation": "nearest",
    "figure.constrained_layout.h_pad": PAD,
    "figure.constrained_layout.w_pad": PAD,
    "savefig.dpi": 300,
    # Names are shown as they are written, dollar signs too.
    "text.parse_math": False,
    # Letters as outlines: the same picture whatever fonts a reader has.
    "svg.fonttype": "path",
    "svg.hashsalt": "msmae-harness",
    # TrueType, which journals ask for, in place of matplotlib's Type 3.
    "pdf.fonttype": 42,
}
"""Settings of matplotlib; sizes of letters in points, as in a paper of 9 or 10 points."""


@dataclass(frozen=True, kw_only=True)
class Style:
    """What a user chooses of a figure's style.

    Attributes:
        width: in inches.
        font: family of all letters.
    """

    width: Annotated[float, Meta(ge=LEAST, le=MOST)] = COLUMN
    font: Literal["sans", "serif"] = "sans"

    def __post_init__(self) -> None:
        ranges.check(self)


@contextmanager
def applied(style: Style) -> Iterator[None]:
    """Apply the settings while figures are drawn and saved, whatever a user's own settings are."""
    import matplotlib
    from cycler import cycler
    from matplotlib import style as matplotlib_style

    family, mathematics = FONTS[style.font]
    settings: Any = {
        **SETTINGS,
        "font.family": family,
        "mathtext.fontset": mathematics,
        "axes.prop_cycle": cycler(color=PALETTE),
    }
    with warnings.catch_warnings(), matplotlib.rc_context():
        # Letters that the font lacks are drawn as boxes; there is no other font to take.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        matplotlib_style.use("default")
        matplotlib.rcParams.update(settings)
        yield


def new(style: Style, height: float) -> Figure:
    """Return an empty figure of the style's width and a height in inches."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(style.width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def trim(figure: Figure) -> None:
    """Make a figure as high as what it shows: pictures of a fixed shape leave bands otherwise."""
    for _ in range(2):  # the layout itself changes a little with the height
        figure.canvas.draw()
        box = figure.get_tightbbox()
        figure.set_size_inches(figure.get_figwidth(), box.height + 2 * PAD)


def save(figure: Figure, form: str) -> bytes:
    """Return a figure as a file in a format; within ``applied``.

    Raises:
        UserError: the format is unknown.
    """
    if form not in FORMATS:
        raise unknown("format of figures", form, FORMATS)
    stream = io.BytesIO()
    figure.savefig(stream, format=form, metadata=METADATA[form])
    return stream.getvalue()


def colour(number: int) -> str:
    """Return the colour of the n-th line or point, from 0 on."""
    return PALETTE[number % len(PALETTE)]


def dashes(number: int) -> Any:
    """Return the pattern of the n-th line: 7 × 7 lines differ in colour or pattern."""
    return DASHES[(number + number // len(PALETTE)) % len(DASHES)]


def marker(number: int) -> str:
    """Return the shape of the n-th kind of point."""
    return MARKERS[(number + number // len(PALETTE)) % len(MARKERS)]


def drawable(value: float) -> bool:
    """Whether matplotlib can draw a value: it is a number, and its square is one, too."""
    return math.isfinite(value) and abs(value) <= LARGEST


def left_out(count: int) -> str:
    """Return a sentence about values that cannot be drawn; "" for none."""
    if not count:
        return ""
    how = "is" if count == 1 else "are"
    return f"{counted(count, 'value')} that cannot be drawn (beyond ±{LARGEST:g}) {how} left out."


def bare(axes: Axes) -> None:
    """Take frame and ticks from the axes of a picture."""
    axes.set(xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set_visible(False)


def overlaps(figure: Figure) -> list[tuple[str, str]]:
    """Return the pairs of texts of which one covers a part of the other.

    A text that leaves the figure is paired with "the edge of the figure".
    """
    from matplotlib.text import Text

    figure.canvas.draw()
    texts = [t for t in _shown(figure.findobj(Text)) if t.get_text().strip()]
    boxes = [Text.get_window_extent(text) for text in texts]  # of an annotation without its line
    pairs = []
    for i, box in enumerate(boxes):
        for j in range(i):
            other = boxes[j]
            wide = min(box.x1, other.x1) - max(box.x0, other.x0)
            high = min(box.y1, other.y1) - max(box.y0, other.y0)
            if min(wide, high) > TOUCH:
                pairs.append((texts[j].get_text(), texts[i].get_text()))
        if not _inside(box, figure.bbox):
            pairs.append((texts[i].get_text(), "the edge of the figure"))
    return pairs


TOUCH = 0.75
"""Points by which two boxes of letters may lap: they hold a little space around the letters."""


def _inside(box: Any, whole: Any) -> bool:
    within = min(box.x0 - whole.x0, whole.x1 - box.x1, box.y0 - whole.y0, whole.y1 - box.y1)
    return bool(within >= -TOUCH)


def _shown(artists: Sequence[Any]) -> list[Text]:
    """Return the texts that are drawn: those of axes that are shown, and of ticks in view."""
    unseen: set[int] = set()
    for axes in {text.axes for text in artists if text.axes is not None}:
        for axis in (axes.xaxis, axes.yaxis):
            in_view = {id(t) for tick in axis._update_ticks() for t in (tick.label1, tick.label2)}
            ticks = [*axis.majorTicks, *axis.minorTicks]
            labels = {id(t) for tick in ticks for t in (tick.label1, tick.label2)}
            if axes.get_visible() and axes.axison and axis.get_visible():
                unseen |= labels - in_view
            else:
                unseen |= labels | {id(axis.label), id(axis.offsetText)}
    return [text for text in artists if text.get_visible() and id(text) not in unseen]
