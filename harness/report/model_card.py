"""The model card of an exported encoder: a README in Markdown, made from its record."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from harness.canonical import short
from harness.report import usage
from harness.report.numbers import fixed
from harness.report.usage import Encoder
from harness.store.record import Record
from harness.store.result import EpochEvaluation, Evaluation


@dataclass(frozen=True, kw_only=True)
class Card:
    """What a model card says.

    Attributes:
        title: of the stage.
        record: of the stage.
        encoder: as timm's; None where timm has no such network.
        later: finished stages that started from this one.
        verdicts: lines on the row's published numbers.
        source: where the data set is published; "" where it is not known here.
        licence: of the data set.
        format: of the files beside the card: "timm", "hf", "torch" or "safetensors"; for "hf" it
            begins with the fields that the Hugging Face hub reads.
        remarks: lines on how it was made.
        probed: whether probes read the features that the encoder returns; None where that is not
            known.
    """

    title: str
    record: Record
    encoder: Encoder | None
    later: Sequence[Record]
    verdicts: Sequence[str]
    source: str
    licence: str
    format: str
    probed: bool | None
    remarks: Sequence[str] = ()


def text(card: Card) -> str:
    """Return the card as Markdown."""
    definition = card.record.definition
    side = int(definition["profile"]["image_size"])
    lines = [*(_front(card) if card.format == "hf" else ()), f"# {card.title}", ""]
    lines += ["The encoder of a training with msmae-harness, without its heads.", ""]
    lines += [
        *usage.lines(card.format, card.encoder, side),
        "",
        "## Results",
        "",
        *(f"* {line}" for line in _results(card)),
        "",
    ]
    lines += ["## Data", ""]
    lines += [f"* {line}" for line in _data(card)]
    lines += ["", "## Training", "", *(f"* {line}" for line in _made(card)), ""]
    lines += ["Every setting that is part of the key:", "", "```json"]
    lines += [json.dumps(definition, indent=2), "```", ""]
    return "\n".join(lines)


def _front(card: Card) -> list[str]:
    """Return the fields that the hub reads; values are JSON, which is YAML."""
    tags = ["image-feature-extraction", "timm", "medical"]
    return [
        "---",
        "library_name: timm",
        f"tags: {json.dumps(tags)}",
        "license: other",
        f"license_name: {json.dumps(f'that of the data: {card.licence}')}",
        "---",
        "",
    ]


def _results(card: Card) -> list[str]:
    seed = card.record.definition["seed"]
    lines = []
    result = card.record.finished
    if result.evaluation is not None:
        lines.append(f"{_scored(result.evaluation)}, seed {seed}")
    probed = card.encoder.features if card.encoder and card.probed else "the frozen encoder"
    for name, probe in (result.probes or {}).items():
        lines.append(f"{name} probe of {probed}: {_scored(probe)}, seed {seed}")
    if result.probes and not card.probed:
        differ = "differ from" if card.probed is False else "were not compared with"
        lines.append(
            f"Probe numbers were measured on the method's own features, which {differ} these"
        )
    for record in card.later:
        if (evaluation := record.finished.evaluation) is not None:
            stage = record.definition["stages"][-1]
            what = f"after {stage['phase']} ({stage['method']['type']}, key {short(record.key)})"
            lines.append(f"{what}: {_scored(evaluation)}, seed {seed}")
    lines += card.verdicts
    return lines or ["No evaluation: nothing that starts from this encoder is finished."]


def _scored(evaluation: Evaluation) -> str:
    text = f"{_metric(evaluation.last)} on {evaluation.n} images"
    if evaluation.last.epoch is not None and evaluation.best is None:
        text += " (last epoch; not every epoch was evaluated)"
    elif evaluation.last.epoch is not None:
        text += f" (last epoch; at the best epoch {_metric(evaluation.best)})"
    return text


def _metric(at: EpochEvaluation | None) -> str:
    """Return accuracy, or the first metric where masks are evaluated, in percent."""
    if at is None:
        return "unknown"
    name = "accuracy" if "accuracy" in at.metrics else next(iter(at.metrics))
    value = at.metrics[name]
    return f"{name} undefined" if value is None else f"{name} {fixed(100 * value, 2)} %"


def _data(card: Card) -> list[str]:
    definition = card.record.definition
    images = card.record.finished.images
    return [
        f"{definition['dataset']}, split {definition['split']!r}, {images} training images",
        f"Fingerprint of the prepared images: {definition['data']}",
        f"Licence of the data: {card.licence}; what it asks of models trained on them applies here",
        *([f"Source of the data: {card.source}"] if card.source else []),
    ]


def _made(card: Card) -> list[str]:
    record = card.record
    methods = " > ".join(stage["method"]["type"] for stage in record.definition["stages"])
    start = record.definition.get("start")
    return [
        f"Stages: {methods}, seed {record.definition['seed']}",
        *([f"Started from weights with SHA-256 {start['sha256']}"] if start else []),
        f"Key: {record.key}",
        f"Commit: {record.commit}; sources {record.provenance.sources}",
        f"SHA-256 of all weights of the stage: {record.finished.weights}",
        *card.remarks,
    ]
