"""Timings of a table's rows on this machine, stored in the run store.

All passes of a table are timed interleaved, so that ratios are of times taken close together. The
name of a timing's file is a digest of its settings and the device.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness import console, files, sealed
from harness import provenance as environment
from harness.canonical import describe, digest, short
from harness.errors import Damaged
from harness.latency import processes
from harness.latency.processes import Kind, Request, Subject
from harness.latency.summary import Summary, ratios, summarise
from harness.plan.plan import Plan
from harness.spec.recipe import Stage, backbone_of
from harness.store import form

FORMAT = 2
"""Version of the files; version 2 added the digest. Others count as not timed."""

PROCESSES = 3
"""Number of processes of a timing."""


@dataclass(frozen=True, kw_only=True)
class Timing:
    """Timing of a table's rows.

    Attributes:
        places: position of a pass in the answers, by name of the row and kind.
        answers: report of each process, with raw times.
        provenance: commit, versions, device and time.
    """

    places: dict[tuple[str, Kind], int]
    answers: Sequence[dict[str, Any]]
    provenance: dict[str, Any]

    @property
    def note(self) -> str:
        """A sentence that says when and on which machine the times were taken."""
        facts, device = self.provenance, self.answers[0]["device"]
        changes = " with changes" if facts["dirty"] else ""
        loads = ", ".join(str(answer["load_before"]) for answer in self.answers)
        return (
            f"Times were taken {facts['started']} at commit {short(facts['commit'])}{changes} on"
            f" {device['kind']} {device['name']}, {device['threads']} threads; load of the machine"
            f" before each process: {loads}."
        )

    def times(self, row: str, kind: Kind) -> Summary:
        """Summarise the seconds per batch of a row's pass."""
        return summarise(self._column(row, kind))

    def ratio(self, row: str, base: str, kind: Kind) -> Summary:
        """Summarise the ratios of a row's times to another row's in the same round."""
        return summarise(ratios(self._column(row, kind), self._column(base, kind)))

    def stable(self, row: str, kind: Kind) -> bool:
        """Whether the pass's warm-up became stable in every process."""
        place = self.places[row, kind]
        return all(answer["warm_up"][place]["stable"] for answer in self.answers)

    def _column(self, row: str, kind: Kind) -> list[list[float]]:
        """Return the seconds per batch of a row's pass, by process."""
        place = self.places[row, kind]
        return [answer["times"][place] for answer in self.answers]


def kinds(plan: Plan) -> tuple[Kind, ...]:
    """Return the kinds of passes whose times a plan's columns show."""
    costs = [c.column.cost for c in plan.columns]
    return tuple(dict.fromkeys(c.kind for c in costs if c is not None and c.what == "seconds"))


def read(plan: Plan, experiment: str, device: Any) -> Timing | None:
    """Return the stored timing of a plan on a device, None if there is none.

    Args:
        plan: of one data set.
        experiment: name or path of the table.
        device: the device on which rows are trained.

    Of a damaged file, or one of another version, one line is printed.
    """
    request, places = _request(plan, experiment, device)
    path = _path(plan, _definition(plan, request, device))
    try:
        text = files.read_bytes(path)
        content = files.decode(text, dict[str, Any], path)
        if content.get("format") != FORMAT:
            raise Damaged(path, f"has format {content.get('format')}, this version reads {FORMAT}")
        if not sealed.whole(text):
            raise Damaged(path, "was changed after it was written: its digest is another")
        if not (isinstance(content.get("processes"), list) and content.get("provenance")):
            raise Damaged(path, "does not fit its format: it holds no times")
    except FileNotFoundError:
        return None
    except Damaged as error:
        console.warn_once(f"The timing {error} Its rows count as not timed.")
        return None
    return Timing(places=places, answers=content["processes"], provenance=content["provenance"])


def take(plan: Plan, experiment: str, device: Any) -> Timing:
    """Time a plan's rows by the protocol and store the result.

    Raises:
        UserError: a pass cannot run, or a process failed.
    """
    request, places = _request(plan, experiment, device)
    started = datetime.now(UTC).isoformat(timespec="seconds")
    latency = processes.run(request, PROCESSES)
    commit, dirty = environment.commit()
    provenance = {
        "commit": commit,
        "dirty": dirty,
        "versions": environment.versions(),
        "started": started,
    }
    defined = _definition(plan, request, device)
    content = {
        "format": FORMAT,
        "definition": defined,
        "provenance": provenance,
        **latency.to_json(),
    }
    form.mark(plan.options.runs)
    files.write_bytes(_path(plan, defined), sealed.seal(content))
    return Timing(places=places, answers=latency.processes, provenance=provenance)


def _request(
    plan: Plan, experiment: str, device: Any
) -> tuple[Request, dict[tuple[str, Kind], int]]:
    """Return the request, and positions of passes in it by row and kind; equal stages share one."""
    subjects: list[Subject] = []
    positions: dict[tuple[str, Kind], int] = {}
    places: dict[tuple[str, Kind], int] = {}
    for row, chain in plan.chains.items():
        name = f"{experiment}/{row}" + (".finetune" if len(chain) > 1 else "")
        for kind in kinds(plan):
            identity = (digest(describe(chain[-1])), kind)
            if identity not in positions:
                positions[identity] = len(subjects)
                subjects.append(Subject(model=name, kind=kind))
            places[row, kind] = positions[identity]
    (batch,) = {c.batch for p in plan.columns if (c := p.column.cost) and c.what == "seconds"}
    request = Request(
        subjects=tuple(subjects),
        profile=plan.options.profile.name,
        dataset=plan.columns[0].used.name,
        batch=batch,
        device=device.type,
        scaled=True,
        overrides=plan.options.overrides,
    )
    return request, places


def _definition(plan: Plan, request: Request, device: Any) -> dict[str, Any]:
    """Return what names a timing: its stages, sizes, request and device."""
    return {
        "stages": [describe(chain[-1]) for chain in plan.chains.values()],
        "image_size": plan.options.profile.backbones.image_size,
        "backbones": [_backbone(plan, chain[-1]) for chain in plan.chains.values()],
        "request": request.to_json(),
        "processes": PROCESSES,
        "device": environment.device_facts(device),
    }


def _path(plan: Plan, definition: dict[str, Any]) -> Path:
    """Return the path of a timing's file."""
    return plan.options.runs / "latency" / f"{digest(definition)}.json"


def _backbone(plan: Plan, stage: Stage) -> Any:
    """Return the settings of a stage's backbone as plain values, None if it has none."""
    backbone = backbone_of(stage.method)
    return None if backbone is None else describe(plan.options.profile.backbones.of(backbone))
