"""Starts the encoder of a task from given weights: names and shapes are matched, heads left out.

Names are those of timm, which MAE's, MoCo v3's, SimMIM's and torchvision's ResNets share up to a
prefix and the place of Swin's patch merging. Nothing is dropped in silence: an encoder that the
file does not fill, or of which it has more, is refused; ``Fit.line`` says what was taken and left.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from harness.errors import UserError, listed
from harness.train.task import Task

HEAD = re.compile(r"(head|fc|head\.fc|classifier)\.(weight|bias)")
"""Names of a classifier's last layer in timm's models; it is drawn anew."""

OPTIONAL = ("norm.",)
"""Of an encoder, what a file may lack: a classifier that pools its tokens has no final norm."""

OUTER = ("", "module.", "model.")
INNER = ("", "encoder.", "backbone.", "base_encoder.", "network.backbone.", "visual.", "trunk.")
"""Prefixes that training codes put before an encoder's names; the pair that fits most is taken."""

SERIES = re.compile(r"(blocks|layers|layer\d|stages)\.")
"""Beginning of the names of what an encoder has a number of."""

SHOWN = 3
"""Names that a message gives as examples."""


@dataclass(frozen=True, kw_only=True)
class Fit:
    """The tensors of a file as an encoder takes them over.

    Attributes:
        taken: by the encoder's names, in its shapes.
        drawn: names of the encoder that keep their initial values.
        left: names of the file that are not taken.
        notes: what was interpolated, in words.
        total: number of tensors of the encoder.
    """

    taken: Mapping[str, Tensor]
    drawn: tuple[str, ...]
    left: tuple[str, ...]
    notes: tuple[str, ...]
    total: int

    @property
    def line(self) -> str:
        """Say what was matched and left."""
        text = f"{len(self.taken)} of the encoder's {self.total} tensors are the file's"
        if self.drawn:
            text += f"; drawn anew: {_some(self.drawn)}"
        if self.left:
            text += f"; left in the file: {_some(self.left)}"
        return "; ".join([text, *self.notes])


def encoder_of(task: Task) -> nn.Module:
    """Return a task's encoder.

    Raises:
        UserError: it has none.
    """
    encoder = getattr(task, "encoder", None)
    if not isinstance(encoder, nn.Module):
        raise UserError(
            f"{type(task).__name__} has no module `encoder`, which is what starts from given"
            " weights; name its encoder so, or leave the start out."
        )
    return encoder


def fit(encoder: nn.Module, tensors: Mapping[str, Tensor]) -> Fit:
    """Match the tensors of a file with an encoder, which may be on the meta device.

    Raises:
        UserError: none fits, some of the encoder's are missing, the file has a deeper encoder, or
            one has another shape.
    """
    wanted = encoder.state_dict()
    body = {name: value for name, value in wanted.items() if not HEAD.fullmatch(name)}
    prefix = _prefix(body, tensors)
    found = _as_timm({n.removeprefix(prefix): n for n in tensors if n.startswith(prefix)}, body)
    taken: dict[str, Tensor] = {}
    notes: list[str] = []
    for name in body.keys() & found.keys():
        value, note = _shaped(name, tensors[found[name]], body[name], body)
        taken[name] = value
        notes += [note] if note else []
    if not taken:
        raise UserError(
            f"none of the file's {len(tensors)} tensors (such as {_some(tuple(tensors))}) is one of"
            f" the encoder's {len(body)}; expected names as timm's: {_some(tuple(body))}."
        )
    missing = [name for name in body if name not in taken and not _may_lack(name)]
    if missing:
        raise UserError(
            f"the file lacks {len(missing)} of the encoder's {len(body)} tensors"
            f" ({_some(tuple(missing))}); expected: weights of an encoder of this size."
        )
    beyond = [name for name in found if name not in body and SERIES.match(name) and _is_own(name)]
    if beyond:
        raise UserError(
            f"the file has {len(beyond)} tensors more than the encoder ({_some(tuple(beyond))});"
            " expected: weights of an encoder of this depth."
        )
    used = {found[name] for name in taken}
    return Fit(
        taken={name: taken[name] for name in body if name in taken},
        drawn=tuple(name for name in wanted if name not in taken),
        left=tuple(name for name in tensors if name not in used),
        notes=_joined(notes),
        total=len(wanted),
    )


@torch.no_grad()
def start(task: Task, tensors: Mapping[str, Tensor]) -> Fit:
    """Give a task's encoder the tensors of a file, and its copies (momentum encoders) likewise.

    Raises:
        UserError: they do not fit, see ``fit``.
    """
    encoder = encoder_of(task)
    result = fit(encoder, tensors)
    copies = [m for m in task.children() if m is not encoder and _is_same(m, encoder)]
    for module in (encoder, *copies):
        state = module.state_dict()
        for name, value in result.taken.items():
            state[name].copy_(value)
    return result


def _is_same(one: nn.Module, other: nn.Module) -> bool:
    """Whether two modules have the same state, as a momentum encoder has at the beginning."""
    ours, theirs = one.state_dict(), other.state_dict()
    return ours.keys() == theirs.keys() and all(
        isinstance(value, Tensor) and torch.equal(value, theirs[name])
        for name, value in ours.items()
    )


def _prefix(body: Mapping[str, Tensor], tensors: Mapping[str, Tensor]) -> str:
    """Return the prefix without which most names are the encoder's."""
    prefixes = [outer + inner for outer in OUTER for inner in INNER]
    return max(prefixes, key=lambda prefix: sum(prefix + name in tensors for name in body))


def _as_timm(found: dict[str, str], body: Mapping[str, Tensor]) -> dict[str, str]:
    """Return names as timm's; Swin's own code puts patch merging at the end of a stage."""
    first = "layers.0.downsample.reduction.weight"
    if first not in found or first in body:
        return found
    pattern = re.compile(r"layers\.(\d+)\.downsample\.")
    return {
        pattern.sub(lambda m: f"layers.{int(m[1]) + 1}.downsample.", name): given
        for name, given in found.items()
    }


def _is_own(name: str) -> bool:
    """Whether a name is none that only older versions of timm kept."""
    return not name.endswith(("relative_position_index", "attn_mask"))


def _may_lack(name: str) -> bool:
    return name.startswith(OPTIONAL) or name.endswith("num_batches_tracked")


def _shaped(
    name: str, given: Tensor, wanted: Tensor, body: Mapping[str, Tensor]
) -> tuple[Tensor, str]:
    """Return a tensor in the encoder's shape, and what was done to it; "" for nothing.

    Raises:
        UserError: it has another shape that no interpolation makes this one.
    """
    if given.shape == wanted.shape:
        return given, ""
    resized = None
    if name == "pos_embed" and given.ndim == 3 and given.shape[-1] == wanted.shape[-1]:
        resized = _positions(given, wanted, has_class="cls_token" in body)
    elif name.endswith("relative_position_bias_table") and given.shape[-1] == wanted.shape[-1]:
        resized = _biases(given, wanted)
    if resized is None:
        raise UserError(
            f"the file's {name} is {tuple(given.shape)}; expected {tuple(wanted.shape)}, the"
            " encoder's. Give weights of an encoder of this size, or choose another profile."
        )
    return resized


def _positions(given: Tensor, wanted: Tensor, *, has_class: bool) -> tuple[Tensor, str] | None:
    """Interpolate position embeddings (1, T + L, D) to another grid; T leading tokens."""
    own = int(has_class)
    side, grid = math.isqrt(given.shape[1]), math.isqrt(wanted.shape[1] - own)
    leading = given.shape[1] - side**2
    if leading > 2 or grid**2 + own != wanted.shape[1]:
        return None
    # Without a position of its own, [CLS] has had none added: zeros say the same.
    zero = given.new_zeros(1, 1, given.shape[2])
    first = (given[:, :1] if leading else zero) if has_class else given[:, :0]
    patches = given[:, leading:].reshape(1, side, side, -1).permute(0, 3, 1, 2)
    if side == grid:
        return torch.cat([first, given[:, leading:]], 1), "position embeddings without [CLS]'s"
    patches = _resized(patches, grid).permute(0, 2, 3, 1).reshape(1, grid**2, -1)
    note = f"position embeddings are interpolated from {side} x {side} to {grid} x {grid}"
    return torch.cat([first.float(), patches], 1), note


def _biases(given: Tensor, wanted: Tensor) -> tuple[Tensor, str] | None:
    """Interpolate Swin's relative position biases ((2 w - 1)**2, heads) to another window."""
    side, grid = math.isqrt(given.shape[0]), math.isqrt(wanted.shape[0])
    if side**2 != given.shape[0] or grid**2 != wanted.shape[0]:
        return None
    table = _resized(given.T.reshape(1, -1, side, side), grid)
    note = (
        f"relative position biases are interpolated from windows of {(side + 1) // 2} to"
        f" {(grid + 1) // 2}"
    )
    return table.reshape(-1, grid**2).T, note


def _resized(values: Tensor, side: int) -> Tensor:
    """Resize (1, D, h, w) to a square; bicubic and antialiased, as timm does."""
    return nn.functional.interpolate(
        values.float(), size=(side, side), mode="bicubic", antialias=True, align_corners=False
    )


def _joined(notes: list[str]) -> tuple[str, ...]:
    return tuple(sorted(set(notes)))


def _some(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"{listed(names[:SHOWN])}{more}"
