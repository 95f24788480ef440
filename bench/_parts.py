"""The parts of ``python -m bench gpu``: what each measures, and about how long it takes."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from bench import _agree, _hours, _latency, _loop, _modes, _pictures, _whole, steps
from bench._stages import Kind, kinds
from harness.spec import profiles
from harness.store.record import Records

LONGEST = 480
"""Seconds that a part may take; what is not measured by then is left to another call."""

PRETRAINED = ("mae", "amt", "msmae-described", "msmae-released", "msmae-amt-crop", "simmim")
CONTRASTED = ("mocov3", "simclr", "contrastivecrop")
SECONDS = {"eager": 25, "compiled": 65, "captured": 35}
"""Estimates by mode of a kind of stage at paper size, warm-up included."""


@dataclass(frozen=True, kw_only=True)
class Context:
    """Where and at what size is measured.

    Attributes:
        device: that is measured.
        tiny: sizes for a test; no record is written.
        speeds: results of the parts of speeds that are on record, by item.
    """

    device: torch.device
    tiny: bool = False
    speeds: Mapping[str, Mapping[str, Any]] = dataclasses.field(default_factory=dict)

    def size(self, mode: str) -> _loop.Size:
        """Return the size at which a kind of stage is timed."""
        if self.tiny:
            return _loop.Size(
                profile=profiles.SMOKE, device=self.device, steps=2, epochs=1, most=8, mode=mode
            )
        return _loop.Size(profile=profiles.PAPER, device=self.device, steps=4, epochs=5, mode=mode)


@dataclass(frozen=True)
class Item:
    """One measurement of a part.

    Attributes:
        name: unique within the record's file.
        seconds: that it takes on a large device of today, an estimate.
        run: measures and returns plain JSON values; "skipped" says why nothing was measured.
    """

    name: str
    seconds: int
    run: Callable[[Context], dict[str, Any]]


@dataclass(frozen=True)
class Part:
    """Measurements that are made in one go.

    Attributes:
        name: for ``--part``.
        record: name of the record's file, which several parts may share.
        text: what it measures.
        items: its measurements.
        tried: how many of them are measured at tiny size; None for all. Compiling takes long.
    """

    name: str
    record: str
    text: str
    items: tuple[Item, ...]
    tried: int | None = None

    @property
    def seconds(self) -> int:
        """Estimate of the whole part, with the start of its process."""
        return 15 + sum(item.seconds for item in self.items)


def parts() -> tuple[Part, ...]:
    """Return all parts, in the order in which they run."""
    groups = _groups()
    return (
        Part("correctness", "correctness", "draws and losses agree with the CPU's", _checks()),
        *(
            Part(
                f"{mode}-{group}",
                "speed",
                f"images/s, FLOP/s, launches, waits, data share: {mode}, {group}",
                tuple(_speed(kind, mode) for kind in members),
                tried=None if mode == "eager" else 1,
            )
            for mode in _modes.MODES
            for group, members in groups.items()
        ),
        *(
            Part(
                f"latency-{precision}",
                "latency",
                f"ViT-B over 197 and 50 tokens (Table 3), {precision}",
                tuple(_latencies(precision)),
            )
            for precision in _latency.PRECISIONS
        ),
        Part(
            "stage",
            "stage",
            "MSMAE's pre-training and fine-tuning by `harness run`, start to table",
            (Item("stage", 240, _stage),),
        ),
        Part(
            "hours",
            "hours",
            "hours of the whole paper by kind of stage, from the parts of speeds",
            (Item("hours", 120, lambda context: _hours.extrapolated(_rates(context))),),
        ),
    )


def _groups() -> dict[str, tuple[Kind, ...]]:
    """Return the kinds of stages by group, each small enough for one part in every mode."""
    every = kinds()
    first = {"masked": PRETRAINED, "contrastive": CONTRASTED}
    taken = {name for names in first.values() for name in names}
    rest = [kind for kind in every if kind.name not in taken]
    tuned = tuple(kind for kind in rest if kind.name.startswith("finetune"))
    return {
        **{group: tuple(k for k in every if k.name in names) for group, names in first.items()},
        "finetuning": tuned,
        "supervised": tuple(kind for kind in rest if kind not in tuned),
    }


def _speed(kind: Kind, mode: str) -> Item:
    return Item(
        f"{kind.name}/{mode}",
        SECONDS[mode],
        lambda context: steps.of(kind, context.size(mode)),
    )


def _checks() -> tuple[Item, ...]:
    def check(function: Callable[[torch.device], float], limit: float) -> Callable[..., Any]:
        def run(context: Context) -> dict[str, Any]:
            found = function(context.device)
            return {"difference": found, "limit": limit, "agrees": found < limit}

        return run

    return (
        Item("views", 10, check(_agree.views, _agree.VIEWS)),
        Item("losses", 20, check(_agree.losses, _agree.LOSSES)),
        Item("casts", 30, check(_agree.casts, _agree.ORDER)),
        Item("captured", 30, _captured),
    )


def _captured(context: Context) -> dict[str, Any]:
    if context.device.type != "cuda":
        return {"skipped": "not available: steps are recorded on CUDA devices only"}
    found = _agree.captured(context.device)
    return {"difference": found, "limit": _agree.ORDER, "agrees": found < _agree.ORDER}


def _latencies(precision: str) -> list[Item]:
    def of(batch: int) -> Callable[[Context], dict[str, Any]]:
        return lambda context: _latency.measured(
            context.device, precision, min(batch, 2) if context.tiny else batch, tiny=context.tiny
        )

    seconds = {1: 40, 64: 60, 256: 120}
    return [Item(f"{precision}/{b}", seconds[b], of(b)) for b in _latency.BATCHES]


def _stage(context: Context) -> dict[str, Any]:
    """Prepare drawn images and run both stages of MSMAE with the harness's commands."""
    tiny = context.tiny
    profile = profiles.SMOKE if tiny else profiles.PAPER
    epochs, count = (1, 64) if tiny else (3, 1024)
    fields = {"recipe.epochs": epochs, "recipe.warmup_epochs": 1, "update_interval": 1}
    changes = [
        f"{phase}.{'' if name.startswith('recipe') else 'method.'}{name}={value}"
        for phase in ("pretrain", "finetune")
        for name, value in fields.items()
    ]
    changes += [f"pretrain.method.random_epochs={min(1, epochs - 1)}"]
    # The harness takes a CUDA device where there is one.
    environment = {"CUDA_VISIBLE_DEVICES": ""} if context.device.type == "cpu" else {}
    training = _whole.Training(
        stages="paper.described()", metric="accuracy", profile=profile, changes=tuple(changes)
    )
    with tempfile.TemporaryDirectory() as folder:
        place, pictures = Path(folder) / "place", Path(folder) / "pictures"
        place.mkdir()
        _pictures.write(pictures, "official", count, generated=True)
        seconds = _whole.harness(
            place, pictures, training, threads=torch.get_num_threads(), environment=environment
        )
        return {
            "profile": profile.name,
            "images": count,
            "epochs": epochs,
            **seconds,
            "stages": _told(Records(place / "runs")),
        }


def _told(records: Records) -> list[dict[str, Any]]:
    """Return seconds, memory, device and last losses of every record of a store."""
    told = []
    for path in sorted((records.folder / "records").glob("*.json")):
        record = records.read(path.stem)
        assert record is not None
        made = record.provenance
        told.append(
            {
                "status": record.status,
                "error": record.error,
                "seconds": made.seconds,
                "peak_mib": made.peak_bytes and made.peak_bytes / 2**20,
                "device": made.device.kind,
                "last_epoch": record.result and dict(record.result.history[-1]),
            }
        )
    return told


def _rates(context: Context) -> _hours.Rates:
    """Return what the hours are extrapolated from: what is on record, or in a test, now."""
    if not context.tiny:
        return _hours.Rates(profile=profiles.PAPER, found=context.speeds)
    by_name = {kind.name: kind for kind in kinds()}
    found = {
        f"{name}/eager": steps.of(by_name[name], context.size("eager"))
        for name in ("mae", "finetune-plain")
    }
    return _hours.Rates(
        profile=profiles.SMOKE,
        found=found,
        tables=("table1",),
        rows=("mae",),
        datasets=("btmd",),
    )
