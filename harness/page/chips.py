"""Verdicts as chips: a word, a sign and a tone, so that colour is never alone in telling them."""

from __future__ import annotations

from collections.abc import Sequence

from harness.page.values import Chip, Tally

STYLES: dict[str, tuple[str, str]] = {
    "reproduced": ("\N{CHECK MARK}", "good"),
    "equal by computation": ("=", "good"),
    "equivalent, not equal": ("\N{ALMOST EQUAL TO}", "near"),
    "different": ("\N{NOT EQUAL TO}", "bad"),
    "collapsed": ("\N{DOWNWARDS ARROW TO BAR}", "bad"),
    "unattainable": ("\N{EMPTY SET}", "bad"),
    "undecidable": ("?", "open"),
    "not comparable": ("\N{NOT PARALLEL TO}", "none"),
    "not run": ("\N{MIDDLE DOT}", "none"),
}
"""Sign and tone of each verdict."""


def chip(word: str, text: str, why: str = "") -> Chip:
    """Return a verdict as a chip; a word without a style is shown as open."""
    glyph, tone = STYLES.get(word, ("?", "open"))
    return Chip(word=word, text=text, glyph=glyph, tone=tone, why=why)


def tally(what: str, words: Sequence[str]) -> Tally:
    """Count verdicts, in the order of their styles."""
    order = [*STYLES, *(word for word in dict.fromkeys(words) if word not in STYLES)]
    return Tally(
        what=what,
        total=len(words),
        reproduced=words.count("reproduced"),
        counts=tuple((chip(word, word), n) for word in order if (n := list(words).count(word))),
    )
