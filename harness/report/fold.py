"""Names folded into the place that a figure has for them, by the width of their letters.

Names that begin alike stay apart: what differs is kept, and the middle is left out.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence

LETTER = 0.66
"""Width in ems of the letter by which places are counted; most letters are narrower."""

ELLIPSIS = "…"


def clean(text: str) -> str:
    """Return a name without what cannot be drawn: controls, and letters that are no text."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def folded(text: str, letters: int, lines: int = 3) -> str:
    """Fold a name at spaces into lines as wide as so many letters; cut what does not fit."""
    parts = _wrapped(clean(text), letters)
    if len(parts) > lines:
        parts = [*parts[: lines - 1], _cut(" ".join(parts[lines - 1 :]), letters)]
    return "\n".join(parts)


def all_folded(
    texts: Sequence[str], letters: int, lines: int = 3, *, names: Sequence[str] = ()
) -> list[str]:
    """Fold names that stand in one figure, so that different ones stay different.

    Args:
        texts: the names.
        letters: that a line is as wide as.
        lines: of each name.
        names: short names, which tell apart texts that are equal themselves; none are equal.
    """
    short = [folded(text, letters, lines) for text in texts]
    for number, same in _alike(short):
        others = [texts[i] for i in same]
        start = _common([clean(text) for text in others])
        if len({clean(text) for text in others}) > 1:
            short[number] = _with_end(clean(texts[number]), start, letters, lines)
    for number, same in _alike(short):
        if names:
            room = letters - 2 if lines > 1 else letters // 2
            ends = [f" ({end})" for end in all_folded([names[i] for i in same], room, 1)]
            short[number] = _headed(texts[number], ends[same.index(number)], letters, lines)
    for number, _ in _alike(short):
        end = f" #{number + 1}"
        short[number] = _headed(texts[number], end, letters, lines)
    return short


def width(text: str, points: float = 1.0) -> float:
    """Return the width of one line of text in inches at a size, in the font of the figures."""
    import matplotlib

    family = str(matplotlib.rcParams["font.family"][0])
    return sum(_advance(family, c) for c in text) * points / 72


def _alike(texts: Sequence[str]) -> list[tuple[int, list[int]]]:
    """Return the numbers of texts that another one equals, each with all that are equal."""
    places: dict[str, list[int]] = {}
    for number, text in enumerate(texts):
        places.setdefault(text, []).append(number)
    return [(n, same) for same in places.values() if len(same) > 1 for n in same]


def _with_end(text: str, start: int, letters: int, lines: int) -> str:
    """Return the beginning of a text, and its end from a place on, from where others differ."""
    end = _cut(ELLIPSIS + text[start:].strip(), letters)
    return _headed(text[:start], end, letters, lines)


def _headed(text: str, end: str, letters: int, lines: int) -> str:
    """Return the beginning of a text in the lines above its last, which is an end."""
    if lines == 1:
        head = clean(text)
        while head and not _fits(f"{head}{end}", letters):
            head = head[:-1]
        return f"{head.rstrip()}{end}"
    return "\n".join([*_wrapped(clean(text), letters)[: lines - 1], end.strip()])


def _common(texts: Sequence[str]) -> int:
    """Return where texts begin to differ, back to the beginning of that word."""
    shortest, longest = min(texts), max(texts)
    place = next((i for i, (a, b) in enumerate(zip(shortest, longest, strict=False)) if a != b), 0)
    if not place:
        place = min(map(len, texts))
    return shortest.rfind(" ", 0, place) + 1


def _wrapped(text: str, letters: int) -> list[str]:
    """Return the lines of a text; words that are wider than a line are broken."""
    lines = [""]
    for word in _broken(text, letters):
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and not _fits(longer, letters):
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


def _broken(text: str, letters: int) -> Iterator[str]:
    for word in text.split():
        rest = word
        while rest and not _fits(rest, letters):
            count = next((n for n in range(len(rest) - 1, 1, -1) if _fits(rest[:n], letters)), 1)
            yield rest[:count]
            rest = rest[count:]
        if rest:
            yield rest


def _cut(text: str, letters: int) -> str:
    """Return a text of one line, without its end where it is too wide."""
    if _fits(text, letters):
        return text
    count = next((n for n in range(len(text), 1, -1) if _fits(text[:n] + ELLIPSIS, letters)), 1)
    return f"{text[:count].rstrip()}{ELLIPSIS}"


def _fits(text: str, letters: int) -> bool:
    return width(text) <= max(letters, 1) * LETTER / 72


@functools.cache
def _advance(family: str, letter: str) -> float:
    """Return the width of a letter in ems."""
    from matplotlib import font_manager
    from matplotlib.font_manager import FontProperties

    found = font_manager.findfont(FontProperties(family=[family]))
    font = font_manager.get_font([str(found)])
    font.set_size(100, 72)
    font.set_text(letter)
    return float(font.get_width_height()[0]) / 64 / 100 if letter.strip() else 0.32
