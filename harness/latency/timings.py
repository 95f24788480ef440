"""Timings of a table's rows on this machine, kept in the run store.

All passes of a table are timed in turn, so that its ratios are of neighbours in time. A timing is
named by what defines it and by the device: another machine, or other settings, is another one.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness import files
from harness import provenance as environment
from harness.canonical import describe, digest, short
from harness.errors import UserError
from harness.latency import processes
from harness.latency.processes import Kind, Request, Subject
from harness.latency.summary import Summary, ratios, summarise
from harness.plan.plan import Plan
from harness.spec.recipe import Stage, backbone_of
from harness.store import form

FORMAT = 1
PROCESSES = 3


@dataclass(frozen=True, kw_only=True)
class Timing:
    """What was measured of a table.

    Attributes:
        places: of each pass in the answers, by name of the row and kind.
        answers: what each process reported, raw times included.
        provenance: commit, versions, device and time.
    """

    places: dict[tuple[str, Kind], int]
    answers: Sequence[dict[str, Any]]
    provenance: dict[str, Any]

    @property
    def told(self) -> str:
        """Say in words when and on what it was measured."""
        made, device = self.provenance, self.answers[0]["device"]
        changes = " with changes" if made["dirty"] else ""
        loads = ", ".join(str(answer["load_before"]) for answer in self.answers)
        return (
            f"Times were taken {made['started']} at commit {short(made['commit'])}{changes} on"
            f" {device['kind']} {device['name']}, {device['threads']} threads; load of the machine"
            f" before each process: {loads}."
        )

    def times(self, row: str, kind: Kind) -> Summary:
        """Summarise the seconds a batch of a row's pass."""
        return summarise(self._column(row, kind))

    def ratio(self, row: str, base: str, kind: Kind) -> Summary:
        """Summarise a row's times to another's, pair by pair."""
        return summarise(ratios(self._column(row, kind), self._column(base, kind)))

    def stable(self, row: str, kind: Kind) -> bool:
        """Whether the pass became stable in warming up, in every process."""
        place = self.places[row, kind]
        return all(answer["warm_up"][place]["stable"] for answer in self.answers)

    def _column(self, row: str, kind: Kind) -> list[list[float]]:
        place = self.places[row, kind]
        return [answer["times"][place] for answer in self.answers]


def kinds(plan: Plan) -> tuple[Kind, ...]:
    """Return the passes whose times the plan's columns show."""
    costs = [c.column.cost for c in plan.columns]
    return tuple(dict.fromkeys(c.kind for c in costs if c is not None and c.what == "seconds"))


def read(plan: Plan, experiment: str, device: Any) -> Timing | None:
    """Return the timing of a plan on this device, None where there is none.

    Args:
        plan: of one data set.
        experiment: name or path that ``harness run`` was given.
        device: that rows are trained on.

    Raises:
        UserError: the file is truncated or of another version.
    """
    request, places = _request(plan, experiment, device)
    path = _path(plan, _definition(plan, request, device))
    advice = "remove it, or run again with --fresh."
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise UserError(f"The timing {path} cannot be read (truncated?); {advice}") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise UserError(f"The timing {path} is of another version; {advice}")
    return Timing(places=places, answers=content["processes"], provenance=content["provenance"])


def take(plan: Plan, experiment: str, device: Any) -> Timing:
    """Time a plan's rows by the protocol and keep what was found.

    Raises:
        UserError: a pass cannot run, or a process died.
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
    found = {
        "format": FORMAT,
        "definition": defined,
        "provenance": provenance,
        **latency.to_json(),
    }
    form.mark(plan.options.runs)
    files.write_json(_path(plan, defined), found)
    return Timing(places=places, answers=latency.processes, provenance=provenance)


def _request(
    plan: Plan, experiment: str, device: Any
) -> tuple[Request, dict[tuple[str, Kind], int]]:
    """Return the request and the place of each row's pass; equal stages are timed once."""
    subjects: list[Subject] = []
    known: dict[tuple[str, Kind], int] = {}
    places: dict[tuple[str, Kind], int] = {}
    for row, chain in plan.chains.items():
        name = f"{experiment}/{row}" + (".finetune" if len(chain) > 1 else "")
        for kind in kinds(plan):
            same = (digest(describe(chain[-1])), kind)
            if same not in known:
                known[same] = len(subjects)
                subjects.append(Subject(model=name, kind=kind))
            places[row, kind] = known[same]
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
    return {
        "stages": [describe(chain[-1]) for chain in plan.chains.values()],
        "image_size": plan.options.profile.backbones.image_size,
        "backbones": [_backbone(plan, chain[-1]) for chain in plan.chains.values()],
        "request": request.to_json(),
        "processes": PROCESSES,
        "device": environment.device_facts(device),
    }


def _path(plan: Plan, definition: dict[str, Any]) -> Path:
    return plan.options.runs / "latency" / f"{digest(definition)}.json"


def _backbone(plan: Plan, stage: Stage) -> Any:
    backbone = backbone_of(stage.method)
    return None if backbone is None else describe(plan.options.profile.backbones.of(backbone))
