"""Texts for pdfLaTeX: what is escaped, which letters are typeset, which packages are needed."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator

from harness.errors import shown
from harness.report.values import CHECK

PACKAGES = (
    "[T1]{fontenc}",
    "[utf8]{inputenc}",
    "{textcomp}",
    "{array}",
    "{booktabs}",
)

PICTURES = "{graphicx}"
"""Package that pages with pictures need in addition."""

CHECK_MARKS = "{pifont}"
"""Package that tables with module columns need in addition."""

SIUNITX = "{siunitx}"
"""Package of the columns that ``--siunitx`` aligns."""

FIRST, LAST = "\u00a1", "\u017f"
"""Range of letters (Latin-1 Supplement, Latin Extended-A) that T1 and textcomp typeset, but for
those of ``_REPLACED``, which stop pdfTeX; a test compiles every one of the range."""

LONGEST_WORD = 20
"""Characters after which a line may break within a word."""

_GREEK = {
    **dict(zip("αβγδεζηθικλμνξπρςστυφχψω", [
        "alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa",
        "lambda", "mu", "nu", "xi", "pi", "rho", "varsigma", "sigma", "tau", "upsilon", "phi",
        "chi", "psi", "omega",
    ], strict=True)),
    **dict(zip("ΓΔΘΛΞΠΣΥΦΨΩ", [
        "Gamma", "Delta", "Theta", "Lambda", "Xi", "Pi", "Sigma", "Upsilon", "Phi", "Psi", "Omega",
    ], strict=True)),
}  # fmt: skip
_MATHS = {
    "±": "pm", "\N{MINUS SIGN}": "-", "\N{MULTIPLICATION SIGN}": "times", "÷": "div",
    "·": "cdot", "≤": "leq", "≥": "geq", "≠": "neq", "≈": "approx", "→": "rightarrow",
    "←": "leftarrow", "↑": "uparrow", "↓": "downarrow", "∞": "infty", "∈": "in", "√": "surd",
    **_GREEK,
}  # fmt: skip
_BAR = r"\makebox[0pt][l]{\raisebox{%s}{\kern%s-}}"
_REPLACED = {
    # A bar through the letter, as it is drawn; T1 has the letters without.
    "Ħ": _BAR % ("0.38ex", "0.21em") + "H", "ħ": _BAR % ("0.55ex", "0.02em") + "h",
    "Ŧ": _BAR % ("0ex", "0.19em") + "T", "ŧ": _BAR % ("0ex", "0.03em") + "t",
    # What Unicode decomposes them to; kra is written like a small kappa.
    "Ŀ": r"L\textperiodcentered{}", "ŀ": r"l\textperiodcentered{}", "ŉ": r"\textquoteright{}n",
    "ſ": "s", "ĸ": r"$\kappa$",
}  # fmt: skip
_TEXTS = {
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "`": r"\textasciigrave{}", '"': r"\textquotedbl{}", "<": r"\textless{}",
    ">": r"\textgreater{}", "|": r"\textbar{}", "†": r"\dag{}", "‡": r"\ddag{}",
    CHECK: r"\ding{51}",
    "\N{EN DASH}": "--", "—": "---", "…": r"\ldots{}", "•": r"\textbullet{}",
    "\N{LEFT SINGLE QUOTATION MARK}": r"\textquoteleft{}",
    "\N{RIGHT SINGLE QUOTATION MARK}": r"\textquoteright{}",
    "“": r"\textquotedblleft{}", "”": r"\textquotedblright{}",
    **{c: f"\\{c}" for c in "&%$#_{}"},
    **{c: f"${m}$" if m == "-" else f"$\\{m}$" for c, m in _MATHS.items()},
    **_REPLACED,
}  # fmt: skip

_JOINED = "-,'"
"""Characters of which two in a row would be typeset as one glyph (a ligature)."""

_BREAKS = "/_.=:-"
"""Characters of a long word after which a line may break."""


def one_line(text: str) -> str:
    """Return text composed (NFC), in one line, without characters that are not printed."""
    normal = unicodedata.normalize("NFC", text)
    return " ".join("".join(c if c.isprintable() else " " for c in normal).split())


def escape(text: str) -> str:
    """Return text that pdfLaTeX typesets literally, in one line.

    Characters that are neither Latin, Greek nor known symbols are replaced by their code point in
    brackets, so that the table always compiles. Within words of more than ``LONGEST_WORD``
    characters a line may break.
    """
    escaped = " ".join("".join(_pieces(word)) for word in one_line(text).split(" "))
    # After the end of a table's row, TeX would take these for arguments of the break.
    return f"{{}}{escaped}" if escaped.startswith(("[", "*")) else escaped


def _pieces(word: str) -> Iterator[str]:
    last, since = "", 0
    for place, character in enumerate(word):
        piece = _TEXTS.get(character) or _letter(character)
        if last and last == piece[0] and last in _JOINED:
            yield "{}"
        yield piece
        last, since = piece[-1], since + 1
        rest = len(word) - place - 1
        if (
            len(word) > LONGEST_WORD
            and rest > 3
            and (since >= LONGEST_WORD - 4 or (character in _BREAKS and since > 3))
        ):
            yield r"\allowbreak{}"
            last, since = "", 0


def _letter(character: str) -> str:
    # inputenc's utf8 maps Latin-1 Supplement and Latin Extended-A to T1 and textcomp.
    if character.isascii() or FIRST <= character <= LAST:
        return character
    return f"[U+{ord(character):04X}]"


def label(name: str) -> str:
    """Return a name of which a label can be made: ASCII letters, digits and hyphens."""
    return "".join(c if c.isascii() and c.isalnum() else "-" for c in name)


def comment(*lines: str) -> list[str]:
    """Return lines as comments; characters that would end a line are escaped."""
    return [f"% {shown(' '.join(line.split()))}".rstrip() for line in lines]


def needs(packages: Iterable[str]) -> list[str]:
    """Return the comment that names the packages of a file."""
    return ["% Needs, in the preamble:", *(f"%   \\usepackage{package}" for package in packages)]


def document(text: str, *, two_columns: bool = False) -> str:
    """Wrap tables into a document that pdfLaTeX compiles, on one column or on two."""
    packages = "".join(
        f"\\usepackage{package}\n" for package in (*PACKAGES, PICTURES, CHECK_MARKS, SIUNITX)
    )
    margins = "" if two_columns else "\\usepackage[margin=2cm]{geometry}\n"
    return (
        f"\\documentclass{'[twocolumn]' if two_columns else ''}{{article}}\n{packages}{margins}"
        f"\\begin{{document}}\n{text}\\end{{document}}\n"
    )


_WIDTHS = {
    character: thousandths / 1000
    for thousandths, characters in {
        278: "!',.:;[]`il|", 305: "fj", 333: " -", 361: "I", 389: "()t", 392: "r", 394: "s",
        444: "cez†‡", 472: "?", 500: '"$*/0123456789\\ago{}–', 514: "J", 528: "kqvxy",
        555: "Sbdhnpu", 611: "Z^~", 625: "L", 653: "F", 680: "EP", 708: "B", 722: "CTw",
        736: "R", 750: "AHNUVXY", 764: "D", 778: "&+<=>@KOQ_±−×÷≤≥≠≈", 785: "G",
        833: "#%mΔ√", 916: "M", 1000: "—→←", 1028: "W", 1172: "…",
    }.items()
    for character in characters
}  # fmt: skip
"""Widths of Computer Modern at 10 pt in em, of the font metrics ecrm1000."""

_OTHER = 0.84
"""Width of characters that are not listed, in em: at least that of the widest of them."""


def width(text: str) -> float:
    """Return how wide one line of text is set in Computer Modern at 10 pt, in em."""
    return sum(map(_width, one_line(text)))


def _width(character: str) -> float:
    base = unicodedata.normalize("NFD", character)[0]
    if (known := _WIDTHS.get(base)) is not None:
        return known
    if character in _TEXTS or FIRST <= character <= LAST:
        return _OTHER
    return sum(_WIDTHS[c] for c in _letter(character))
