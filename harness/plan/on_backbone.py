"""``--set [PHASE.]method.backbone=timm:NAME``: put the methods of rows on a network of timm.

The methods' modules say how: one of them has a function ``on_backbone(method, name)``. Stages that
follow continue with the encoder of the one before and are put on the same network.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from harness.errors import UserError, within
from harness.plan import catalog, override
from harness.spec.backbones import Backbone
from harness.spec.recipe import Method, Stage
from harness.spec.table import Row
from harness.spec.weights import TIMM


def apply(
    rows: Sequence[Row], chains: Sequence[tuple[Stage, ...]], overrides: Sequence[str]
) -> list[tuple[Stage, ...]]:
    """Return the stages of rows on the network that the overrides name; unchanged without one.

    Raises:
        UserError: the network is given twice or not as "timm:NAME", no row has the phase, or a
            method cannot be put on it.
    """
    found = [o for o in _parsed(overrides) if o.is_backbone]
    if not found:
        return list(chains)
    if len(found) > 1:
        raise UserError(
            f"--set {found[1]} is a second network; give one, which the stages of a row share."
        )
    chosen = found[0]
    if not chosen.text.startswith(TIMM) or chosen.text == TIMM:
        raise UserError(
            f"--set {chosen}: {chosen.text!r} is no network; give timm:NAME, such as"
            " timm:convnext_tiny. Sizes of the harness's own encoders are the profile's."
        )
    if not any(chosen.phase in (None, stage.phase) for chain in chains for stage in chain):
        raise UserError(f"--set {chosen}: no selected row has the phase {chosen.phase!r}.")
    convert = _converter()
    return [_put(row, chain, chosen, convert) for row, chain in zip(rows, chains, strict=True)]


def titled(row: Row, chain: Sequence[Stage]) -> Row:
    """Return a row that names the network of timm that its stages are on, if they are on one."""
    declared = [getattr(stage.method, "backbone", None) for stage in chain]
    nets = [b.name for b in declared if isinstance(b, Backbone) and b.name.startswith(TIMM)]
    return replace(row, backbone=nets[0].removeprefix(TIMM)) if nets else row


def _parsed(overrides: Sequence[str]) -> Iterator[override.Override]:
    for text in overrides:
        if not override.selects_finetuning(text):
            yield override.parse(text)


def _put(
    row: Row,
    chain: tuple[Stage, ...],
    chosen: override.Override,
    convert: Callable[[Method, str], Method],
) -> tuple[Stage, ...]:
    """Put a chain on a network, from the first stage of the chosen phase on."""
    net = chosen.text.removeprefix(TIMM)
    changed: list[Stage] = []
    begun = False
    for stage in chain:
        begun = begun or chosen.phase in (None, stage.phase)
        if begun:
            with within(f"Row {row.name!r}, {stage.phase}"):
                stage = replace(stage, method=convert(stage.method, net))
        changed.append(stage)
    return tuple(changed)


def _converter() -> Callable[[Method, str], Method]:
    """Return the function by which the methods are put on a network."""
    for component in catalog.methods().values():
        # Only the module that has it is imported.
        if "\ndef on_backbone(" in component.path.read_text(encoding="utf-8"):
            module = importlib.import_module(f"harness.methods.baselines.{component.path.stem}")
            convert: Callable[[Method, str], Method] = module.on_backbone
            return convert
    raise UserError("No method of this installation can be put on a network of timm.")
