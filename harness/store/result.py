"""What a record holds, typed: the result of a finished stage and how it was made.

``to_json`` gives the layout of the file. There a field whose default is None is left out where it
is None; in the dictionaries None stands, for a metric that is undefined.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Rule = Literal["last", "best"]
"""Which epoch is reported: the last one, or the best on the part that is selected on."""


@dataclass(frozen=True, kw_only=True)
class EpochEvaluation:
    """The evaluation of one epoch.

    Attributes:
        epoch: 0-based; None for a probe, which belongs to no epoch.
        metrics: by name, in natural units; None where a metric is undefined.
        correct: images whose predicted class is the label; None for masks.
        collapsed: all images got one class, or all pixels one answer.
    """

    epoch: int | None = None
    metrics: Mapping[str, float | None]
    correct: int | None = None
    collapsed: bool


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What a stage, or a probe of its encoder, reached on the reported images.

    Attributes:
        n: images.
        classes: images of each class; None for a probe.
        lesions: images with a lesion; None unless masks were evaluated.
        last: at the last epoch.
        best: at the epoch that was best on the part that is selected on.
    """

    n: int
    classes: tuple[int, ...] | None = None
    lesions: int | None = None
    last: EpochEvaluation
    best: EpochEvaluation

    def at(self, rule: Rule) -> EpochEvaluation:
        """Return the evaluation of the epoch that a rule selects."""
        return self.last if rule == "last" else self.best

    @property
    def of_masks(self) -> bool:
        """Whether masks were evaluated, not classes."""
        return self.lesions is not None


@dataclass(frozen=True, kw_only=True)
class ParameterCount:
    """How many parameters a stage has, and how many of them it trains."""

    total: int
    trainable: int


@dataclass(frozen=True, kw_only=True)
class StepMemory:
    """Bytes of a training step at its batch, from shapes; see ``harness.cost.memory.Memory``."""

    parameter_bytes: int
    activation_bytes: int
    peak_bytes: int
    batch: int


@dataclass(frozen=True, kw_only=True)
class StageCost:
    """What a stage costs per image, by name of the counting convention.

    Attributes:
        deployed: the forward of testing; None for a pre-training.
        training: the forward of training.
        step: forward and backward of training.
        memory: of a training step.
        error: why the stage could not be counted; None if it was.
    """

    deployed: Mapping[str, float] | None = None
    training: Mapping[str, float] | None = None
    step: Mapping[str, float] | None = None
    memory: StepMemory | None = None
    error: str | None = None


@dataclass(frozen=True, kw_only=True)
class Result:
    """What a finished stage produced; the same to the bit for equal definitions on one CPU.

    Attributes:
        images: trained on.
        weights: SHA-256 of the file of final weights.
        history: the figures of every epoch, such as "loss/total" and "eval/accuracy".
        probes: evaluations of classifiers on the frozen encoder, by name of the probe.
        evaluation: None for a pre-training.
        predictions: digest of the kept predictions, see ``harness.store.predictions``.
    """

    parameters: ParameterCount
    cost: StageCost
    images: int
    weights: str
    history: tuple[Mapping[str, float], ...]
    probes: Mapping[str, Evaluation] | None = None
    evaluation: Evaluation | None = None
    predictions: str | None = None


@dataclass(frozen=True, kw_only=True)
class Device:
    """What a stage was trained on: "cpu" or "cuda", the model, and the CPU threads in use."""

    kind: str
    name: str
    threads: int


@dataclass(frozen=True, kw_only=True)
class Latency:
    """Seconds that the deployed forward of one batch took in the process that trained it.

    The fields are those of ``harness.latency.summary.Summary``; ``median_95`` is the 95 % interval
    of the median.
    """

    n: int
    p50: float
    p90: float
    p99: float
    iqr: float
    median_95: tuple[float, float] | None
    processes: tuple[float, ...]
    noisy: tuple[str, ...]
    batch: int
    precision: str


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """How a record was made: what may differ between two trainings of one definition.

    Attributes:
        commit: of the sources, or "version X" where they are not in a checkout.
        dirty: the sources differed from the commit.
        sources: digest of the sources that act on the stage, taken before the training.
        versions: of Python and of what computes.
        started: ISO date and time, UTC.
        seconds: that the stage took, evaluation included.
        micro_batch: images whose gradient was taken at once; None for the whole batch.
        peak_bytes: most memory in use on the GPU.
        latency: None for a pre-training.
    """

    commit: str
    dirty: bool
    sources: str
    versions: Mapping[str, str]
    device: Device
    started: str
    seconds: float
    micro_batch: int | None = None
    peak_bytes: int | None = None
    latency: Latency | None = None


def to_json(value: Any) -> Any:
    """Return the JSON value of one of these classes, its fields in their order."""
    if dataclasses.is_dataclass(value):
        return {
            field.name: to_json(found)
            for field in dataclasses.fields(value)
            if (found := getattr(value, field.name)) is not None or field.default is not None
        }
    if isinstance(value, Mapping):
        return {name: to_json(found) for name, found in value.items()}
    return [to_json(found) for found in value] if isinstance(value, tuple | list) else value
