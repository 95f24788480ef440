"""The typed content of a record: the result of a finished stage and its provenance.

``to_json`` defines the layout of the file. A field whose default is None is left out where it is
None; in dictionaries None is written, for a metric that is undefined.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from msgspec import Meta

Count = Annotated[int, Meta(ge=0, le=2**53)]
"""A number of things; whole, and exact as a 64-bit float."""

Seconds = Annotated[float, Meta(ge=0, le=1e12)]
"""A duration."""

Rule = Literal["last", "best"]
"""Which epoch is reported: the last one, or the best on the images that select it."""


@dataclass(frozen=True, kw_only=True)
class EpochEvaluation:
    """The evaluation of one epoch.

    Attributes:
        epoch: 0-based; None for a probe, which belongs to no epoch.
        metrics: by name, in natural units; None where a metric is undefined.
        correct: images whose predicted class is the label; None for masks.
        collapsed: all images, or all pixels, are predicted as one class.
    """

    epoch: Count | None = None
    metrics: Mapping[str, float | None]
    correct: Count | None = None
    collapsed: bool


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """The evaluation of a stage, or of a probe of its encoder, on the reported images.

    Attributes:
        n: number of images.
        classes: number of images of each class; None for a probe.
        lesions: number of images with a lesion; None unless masks were evaluated.
        last: at the last epoch.
        best: at the epoch that was best on the images that select it; None unless every epoch was
            evaluated.
    """

    n: Count
    classes: tuple[Count, ...] | None = None
    lesions: Count | None = None
    last: EpochEvaluation
    best: EpochEvaluation | None = None

    def at(self, rule: Rule) -> EpochEvaluation | None:
        """Return the evaluation of the epoch that a rule selects; None if that is not known."""
        return self.last if rule == "last" else self.best

    @property
    def of_masks(self) -> bool:
        """Whether masks were evaluated, not classes."""
        return self.lesions is not None


@dataclass(frozen=True, kw_only=True)
class ParameterCount:
    """How many parameters a stage has, and how many of them it trains."""

    total: Count
    trainable: Count


@dataclass(frozen=True, kw_only=True)
class StepMemory:
    """Bytes of a training step, computed from shapes; see ``harness.cost.memory.Memory``.

    Attributes:
        parameter_bytes: all parameters and buffers.
        activation_bytes: tensors saved for the backward pass, without parameters.
        peak_bytes: most bytes alive at once in forward and backward.
        batch: images of the step.
    """

    parameter_bytes: Count
    activation_bytes: Count
    peak_bytes: Count
    batch: Count


@dataclass(frozen=True, kw_only=True)
class StageCost:
    """Operations of a stage per image, by name of the counting convention.

    Attributes:
        deployed: forward pass of a test; None for a pre-training.
        training: forward pass of training.
        step: forward and backward pass of training.
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
    """The result of a finished stage, bit-identical for equal definitions on one CPU.

    Attributes:
        parameters: numbers of parameters.
        cost: operations and memory.
        images: number of training images.
        weights: SHA-256 of the file of final weights.
        history: the figures of every epoch, such as "loss/total"; those of an evaluation, such as
            "eval/accuracy", are there in the epochs that were evaluated.
        probes: evaluations of classifiers on the frozen encoder, by name of the probe.
        evaluation: None for a pre-training.
        predictions: digest of the stored predictions, see ``harness.store.predictions``.
    """

    parameters: ParameterCount
    cost: StageCost
    images: Count
    weights: str
    history: tuple[Mapping[str, float], ...]
    probes: Mapping[str, Evaluation] | None = None
    evaluation: Evaluation | None = None
    predictions: str | None = None


Steps = Literal["eager", "compiled", "captured", "deterministic"]
"""How the operations of a training step reach a device, see ``harness.train.steps``."""


@dataclass(frozen=True, kw_only=True)
class Device:
    """The device of a training.

    Attributes:
        kind: "cpu" or "cuda".
        name: of the processor's model.
        threads: CPU threads in use.
        steps: how steps ran; None for eager ones.
        visible: of a CUDA device, ``CUDA_VISIBLE_DEVICES`` of the process; None where not set.
        uuid: of a CUDA device; None elsewhere, and in records made before it was kept.

    Which of several equal devices it was makes no difference when devices are compared.
    """

    kind: str
    name: str
    threads: Count
    steps: Steps | None = None
    visible: str | None = field(default=None, compare=False)
    uuid: str | None = field(default=None, compare=False)


@dataclass(frozen=True, kw_only=True)
class Latency:
    """Seconds of the deployed forward pass of one batch, timed in the process that trained it.

    The fields are those of ``harness.latency.summary.Summary``; ``median_95`` is the 95 % interval
    of the median.
    """

    n: Count
    p50: float
    p90: float
    p99: float
    iqr: float
    median_95: tuple[float, float] | None
    processes: tuple[float, ...]
    noisy: tuple[str, ...]
    batch: Count
    precision: str


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """A stretch of epochs that one version of the program trained on one machine.

    Attributes:
        first: the first epoch, 0-based.
        epochs: how many.
        commit: of the sources, with "+changes" where they differed from it.
        sources: digest of the sources that act on the stage.
        versions: of Python and of the numerical libraries.
        device: trained on.
        seconds: duration up to the last state that was written.
    """

    first: Count
    epochs: Count
    commit: str
    sources: str
    versions: Mapping[str, str]
    device: Device
    seconds: Seconds

    @property
    def maker(self) -> tuple[str, Mapping[str, str], Device]:
        """What has to be equal for two stretches to be as if trained in one."""
        return (self.sources, self.versions, self.device)


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """How a record was made; may differ between two trainings of one definition.

    Attributes:
        commit: of the sources, or "version X" where they are not in a checkout.
        dirty: whether the sources differed from the commit.
        sources: digest of the sources that act on the stage, computed before training.
        versions: of Python and of the numerical libraries.
        device: trained on.
        started: ISO date and time, UTC.
        seconds: duration of the stage, evaluation included, over all attempts.
        micro_batch: images per forward and backward pass; None for the whole batch.
        peak_bytes: largest GPU memory in use; None on a CPU.
        latency: None for a pre-training.
        stored_size: side in pixels of the stored images that were trained on; None in records
            made before it was kept.
        attempts: the stretches of epochs, where another version of the sources or of a library,
            another device or number of threads went on with an interrupted training; None where
            all epochs were made alike.
    """

    commit: str
    dirty: bool
    sources: str
    versions: Mapping[str, str]
    device: Device
    started: str
    seconds: Seconds
    micro_batch: Count | None = None
    peak_bytes: Count | None = None
    latency: Latency | None = None
    stored_size: Count | None = None
    attempts: tuple[Attempt, ...] | None = None

    def attempt(self) -> Attempt:
        """Return the stretch of epochs that begins here, with none yet."""
        return Attempt(
            first=0,
            epochs=0,
            commit=f"{self.commit}+changes" if self.dirty else self.commit,
            sources=self.sources,
            versions=self.versions,
            device=self.device,
            seconds=0.0,
        )

    def made_by(self, sources: str) -> bool:
        """Whether all epochs were trained by sources with a digest."""
        all_sources = {self.sources, *(attempt.sources for attempt in self.attempts or ())}
        return all_sources == {sources}


def to_json(value: Any) -> Any:
    """Return the JSON value of one of these classes, its fields in their order."""
    if dataclasses.is_dataclass(value):
        return {
            field.name: to_json(content)
            for field in dataclasses.fields(value)
            if (content := getattr(value, field.name)) is not None or field.default is not None
        }
    if isinstance(value, Mapping):
        return {name: to_json(item) for name, item in value.items()}
    return [to_json(item) for item in value] if isinstance(value, tuple | list) else value
