"""``harness export weights``: the trained encoder of a finished stage, with its model card."""

from __future__ import annotations

import argparse
import io
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from harness.cli import options
from harness.cli.starting import add_init
from harness.console import note, say
from harness.errors import Damaged, UserError
from harness.spec.dataset import PARTS

if TYPE_CHECKING:
    from torch import Tensor

    from harness.report.usage import Encoder

FORMATS = ("timm", "hf", "torch", "safetensors")
"""timm: model.safetensors and config.json for create_model; hf: the same as the hub lays it out;
torch, safetensors: the tensors in a file of that kind, of any encoder."""

SELECTING = ("profile", "dataset", "seed", "split", "init")
"""Options that select a run of TABLE/ROW; a key names one run already."""


def add_parser(kinds: Any) -> None:
    """Add ``weights`` to the kinds of what is exported."""
    parser = kinds.add_parser(
        "weights",
        help="the trained encoder of a finished stage",
        description="Write the trained encoder of a finished stage, renamed so that timm loads it"
        " with no missing or unexpected key, and a model card beside it.",
    )
    parser.add_argument(
        "target",
        help="a stage's key or its beginning, or TABLE/ROW: the row's first stage,"
        " TABLE/ROW.finetune its last",
    )
    parser.add_argument("--to", type=options.path, required=True, metavar="DIR", help="folder")
    parser.add_argument("--format", choices=FORMATS, default="timm", help="default timm")
    parser.add_argument("--profile", help="of TABLE/ROW: smoke, laptop or paper")
    parser.add_argument("--dataset", metavar="NAME", help="of TABLE/ROW, where it has several")
    parser.add_argument(
        "--seed", type=options.whole(0, 2**32 - 1), metavar="N", help="where there are several"
    )
    parser.add_argument("--split", choices=tuple(PARTS), help="of TABLE/ROW")
    add_init(parser)
    options.add_overrides(parser)
    parser.add_argument(
        "--force", action="store_true", help="overwrite files of the same names in the folder"
    )
    options.add_folders(parser)


def run(args: argparse.Namespace) -> int:
    """Find the stage, rename its encoder, and write it with its card."""
    from harness.api import encoder_weights
    from harness.cli import exported
    from harness.store import folder, weights

    if "/" in args.target:
        found = exported.of_row(args)
    else:
        given = [f"--{name}" for name in SELECTING if getattr(args, name) is not None]
        given += ["--set"] if args.set else []
        if given:
            raise UserError(
                f"{', '.join(given)} selects a run of TABLE/ROW; {args.target!r} is a key, which"
                " names one run. Leave it out, or give TABLE/ROW."
            )
        found = exported.of_key(args)
    try:
        tensors = weights.load(args.runs, found.record.key, found.record.finished.weights)
    except Damaged as damaged:
        raise UserError(
            f"{damaged.path} {damaged.what}: the weights of {found.title} were not kept. Train them"
            f" again with `{found.again}`, then export them."
        ) from damaged
    encoder = _encoder(found.record.definition, tensors, args.format)
    contents = _contents(args.format, encoder, encoder_weights(tensors))
    contents["README.md"] = exported.card(args, found, encoder, tensors).encode()
    folder.write(args.to, contents, force=args.force)
    for line in exported.remarks(found):
        note(line)
    say(f"Exported: {found.title}, to {args.to}: {', '.join(sorted(contents))}.")
    if encoder is not None and args.format in ("timm", "hf"):
        name = repr(f"local-dir:{args.to}")
        say(f"timm.create_model({name}, pretrained=True) returns {encoder.features}.")
    return 0


def _encoder(
    definition: Mapping[str, Any], tensors: Mapping[str, Tensor], format_: str
) -> Encoder | None:
    """Return the encoder as timm's; None for one that timm has not, in a format without timm."""
    from harness.api import to_timm

    try:
        encoder: Encoder = to_timm(definition, tensors)
    except UserError:
        if format_ in ("timm", "hf"):
            raise
        return None
    return encoder


def _contents(format_: str, encoder: Encoder | None, own: Mapping[str, Tensor]) -> dict[str, bytes]:
    """Return the files of a format, without the card."""
    import safetensors.torch
    import torch

    tensors = own if encoder is None else encoder.tensors
    plain = {name: value.contiguous().clone() for name, value in tensors.items()}
    if format_ == "torch":
        stream = io.BytesIO()
        torch.save(plain, stream)
        contents = {"model.pth": stream.getvalue()}
    else:
        contents = {"model.safetensors": safetensors.torch.save(plain, {"format": "pt"})}
    if encoder is not None:
        contents["config.json"] = (json.dumps(encoder.config, indent=2) + "\n").encode()
    return contents
