"""Print latencies as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.console import text, wide_console
from harness.latency.processes import Latency
from harness.latency.summary import Summary

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

ENOUGH = 3
"""Number of processes below which a warning is printed."""


def show(latency: Latency, console: Console | None = None) -> None:
    """Print the conditions, the table, and why times are noisy, if they are."""
    console = console or wide_console()
    request, device = latency.request, latency.processes[0]["device"]
    console.print(
        text(
            f"Latency of a batch of {request.batch}, {request.precision}, on {device['kind']}"
            f" ({device['name']}), {device['threads']} threads: {len(latency.processes)} processes"
            f" of {request.rounds} rounds, passes in turn.",
            style="bold",
        )
    )
    console.print(table(latency))
    for subject, times in zip(request.subjects, latency.times, strict=True):
        if times.noisy:
            console.print(text(f"noisy: {subject.title}: {'; '.join(times.noisy)}."))
    if len(latency.processes) < ENOUGH:
        console.print(text(f"Fewer than {ENOUGH} processes cannot show how much they differ."))
    for title in latency.unstable:
        console.print(text(f"noisy: {title}: not stable after warming up."))


def table(latency: Latency) -> Table:
    """Return the latencies as a rich table, in milliseconds."""
    from rich import box
    from rich.table import Table

    rich_table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    rich_table.add_column("Pass")
    for head in ("p50 ms", "95 % of median", "p90 ms", "p99 ms", "IQR", "ratio to first", "95 %"):
        rich_table.add_column(head, justify="right")
    rich_table.add_column("verdict")
    relative: tuple[Summary | None, ...] = (None, *latency.ratios)
    for subject, times, ratio in zip(
        latency.request.subjects, latency.times, relative, strict=True
    ):
        noisy = times.noisy or subject.title in latency.unstable
        rich_table.add_row(
            text(subject.title),
            f"{1000 * times.p50:.2f}",
            _interval(times, 1000, 2),
            f"{1000 * times.p90:.2f}",
            f"{1000 * times.p99:.2f}",
            f"{100 * times.iqr / times.p50:.1f} %",
            "" if ratio is None else f"{ratio.p50:.3f}",
            "" if ratio is None else _interval(ratio, 1, 3),
            "noisy" if noisy else "quiet",
        )
    return rich_table


def _interval(summary: Summary, factor: float, digits: int) -> str:
    """Format the 95 % interval of the median."""
    if summary.low is None or summary.high is None:
        return "too few"
    return f"{factor * summary.low:.{digits}f} – {factor * summary.high:.{digits}f}"
