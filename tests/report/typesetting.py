"""Compile a document with pdfLaTeX, or say what the TeX of this machine lacks for it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from harness.report import tex

SAMPLE = (
    r"\begin{table}\caption{\textbf{a} \textit{b} \texttt{c}}\begin{tabular}{lr}\toprule"
    r"\textbf{é} & {\small $\lambda\leq\pm\surd$} \\ \midrule {\footnotesize ß} & "
    r"\textquotedbl{}\textit{x}\textsuperscript{\dag{}} \ding{51} \\ \bottomrule"
    r"\end{tabular}{\small\textit{a}\textbf{b}$\kappa$}{\footnotesize\textit{a}\textbf{b}$\pm$}"
    r"{\scriptsize\textit{a}\textbf{b}\textperiodcentered{}$\Delta$\textsuperscript{c}}"
    r"\begin{tabular}{S[table-format=2.1]}1.2\\\end{tabular}\end{table}\section*{a}\subsection*{b}"
)
"""Every font and package that a table takes."""

LACKS = (
    re.compile(r"File [`'](?P<what>[^`']+)' not found"),
    re.compile(r"! Font (?:\S+=)?(?P<what>\S+) .*not loadable"),
    re.compile(r"!pdfTeX error: .*Font (?P<what>\S+) at \d+ not found"),
    re.compile(r"can't find the format file [`'](?P<what>[^`']+)'"),
)
"""What pdflatex says, in one line, of a file or font that is not installed."""


def compile_document(
    folder: Path, text: str, *, two_columns: bool = False
) -> subprocess.CompletedProcess[str]:
    """Compile a document's body to table.pdf in a folder, with the preamble of the harness."""
    (folder / "table.tex").write_text(tex.document(text, two_columns=two_columns))
    return subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "table.tex"],
        cwd=folder,
        env={**os.environ, "max_print_line": "1000"},  # lines would break at column 79
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )


def lacking() -> str | None:
    """Return why this machine cannot typeset tables, or None where it can.

    An error of another kind is none of the machine's: it is left to the tests that compile.
    """
    if shutil.which("pdflatex") is None:
        return "pdflatex is not installed"
    with tempfile.TemporaryDirectory() as folder:
        ran = compile_document(Path(folder), SAMPLE)
    if ran.returncode == 0:
        return None
    absent = _packages_not_found()
    if absent:
        return f"this TeX lacks {', '.join(absent)}"
    told = ran.stdout + ran.stderr
    for pattern in LACKS:
        if found := pattern.search(told):
            return f"this TeX lacks {found['what']}"
    return None


def _packages_not_found() -> list[str]:
    """Return the packages of the preamble that kpsewhich does not find."""
    if shutil.which("kpsewhich") is None:
        return []
    packages = re.findall(r"\\usepackage(?:\[[^]]*\])?\{(\w+)\}", tex.document(""))
    files = ["article.cls", *(f"{name}.sty" for name in packages)]
    return [name for name in files if not _is_found(name)]


def _is_found(name: str) -> bool:
    ran = subprocess.run(["kpsewhich", name], capture_output=True, text=True, check=False)
    return ran.returncode == 0 and bool(ran.stdout.strip())


def floated(files: Mapping[str, str]) -> str:
    """Return the files of the style "paper" as floats, in the way of a paper's author."""
    texts = []
    for name in (name for name in files if not name.endswith("-caption.tex")):
        caption = files[name.replace(".tex", "-caption.tex")]
        texts.append(
            f"\\begin{{table*}}\\centering\n{caption}{files[name]}\\end{{table*}}\\clearpage\n"
        )
    return "".join(texts)


def faults(ran: subprocess.CompletedProcess[str]) -> list[str]:
    """Return what is too wide, too high or not typeset in a document, and errors."""
    wrong = re.compile(
        r"(?m)^(?:!.*|Overfull \\[hv]box.*|.*Float too large.*|Missing character.*|l\.\d+.*)"
    )
    return wrong.findall(ran.stdout)
