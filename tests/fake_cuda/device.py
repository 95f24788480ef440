"""A CUDA device that does not exist: shapes, dtypes and devices are real, values are not.

Tensors on the CPU are computed; those on "cuda" are torch's FakeTensors. Kernels are operations of
aten without views: libraries may split one into several, so launches are a lower bound.
"""

from __future__ import annotations

import contextlib
import sys
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten

CUDA = torch.device("cuda:0")
aten = torch.ops.aten

STAGED = 64 * 1024
"""Bytes from which a copy from pageable memory makes the host wait."""

VIEWS = {
    "_reshape_alias", "_unsafe_view", "alias", "as_strided", "chunk", "detach", "detach_",
    "device", "diagonal", "dim", "dtype", "empty", "empty_like", "empty_strided", "expand",
    "is_contiguous", "is_same_size", "layout", "lift_fresh", "new_empty", "new_empty_strided",
    "permute", "resize_", "result_type", "select", "set_", "slice", "split", "split_with_sizes",
    "squeeze", "sym_numel", "sym_size", "sym_storage_offset", "sym_stride", "t", "transpose",
    "unbind", "unflatten", "unfold", "unsqueeze", "view", "view_as_complex", "view_as_real",
}  # fmt: skip
"""Operations without a kernel."""

DYNAMIC = {
    "_unique2",
    "bincount",
    "masked_select",
    "nonzero",
    "unique",
    "unique_consecutive",
    "unique_dim",
}
"""Operations whose output's shape depends on values: the host waits for the device."""

SEVERAL = {
    "native_layer_norm_backward": 2,
    "convolution_backward": 2,
    "sort": 2,
    "_scaled_dot_product_flash_attention_backward": 3,
}
"""Kernels of operations that have more than one."""


FAKE = FakeTensorMode(allow_non_fake_inputs=True)
"""One for all devices: constants that a process keeps are used with every task's tensors."""


def believe() -> None:
    """Let autocast and optimisers believe that a CUDA device with bfloat16 is there."""
    import torch.cuda.amp.common
    import torch.nn.utils.clip_grad

    torch.cuda.amp.common.amp_definitely_not_available = lambda: False
    torch.cuda.is_bf16_supported = lambda *_, **__: True
    torch.cuda._lazy_init = lambda: None
    torch.cuda.current_device = lambda: 0
    # torch asks for the very type Tensor there and would else loop over FakeTensors one by one.
    torch.nn.utils.clip_grad._has_foreach_support = lambda *_: True
    torch.autograd.set_multithreading_enabled(False)
    warnings.filterwarnings("ignore")


@dataclass
class Seen:
    """What a device has seen.

    Attributes:
        launches: kernels by phase and operation.
        found: how often something happened, by phase, kind, place and what it was.
    """

    launches: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    found: Counter[tuple[str, str, str, str]] = field(default_factory=Counter)


class Device(TorchDispatchMode):
    """Run what touches "cuda" without values, count it by phase, and find what makes it wait.

    Kinds of findings: "read" (device to host), "upload" (host to device that waits for the
    stream), "pageable" (host to device, asynchronous, of more than ``STAGED`` bytes that are not
    pinned), "dynamic" (a shape that depends on values), "mixed" (a CPU tensor among those of the
    device) and "left" (a result that stays on the CPU).
    """

    def __init__(self, house: str) -> None:
        """Begin with nothing seen; ``house`` is the folder of the sources that findings name."""
        super().__init__()
        self.fake = FAKE
        self.house = house
        self.seen = Seen()
        self.phase = "between"

    @contextlib.contextmanager
    def at(self, phase: str) -> Iterator[None]:
        """Count the block under a phase."""
        before, self.phase = self.phase, phase
        try:
            yield
        finally:
            self.phase = before

    def _find(self, kind: str, what: str) -> None:
        self.seen.found[self.phase, kind, _place(self.house), what] += 1

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if func is torch.ops.prim.device.default:  # asked for twice an operation
            return args[0].device
        kwargs = dict(kwargs or {})
        flat = tree_flatten((args, kwargs))[0]
        fakes = [t for t in flat if isinstance(t, FakeTensor)]
        device = kwargs.get("device")
        if not fakes and (device is None or torch.device(device).type != "cuda"):
            return func(*args, **kwargs)
        name = func._schema.name.split("::")[1]
        if name == "_local_scalar_dense":
            self._find("read", "a scalar")
            return 0.5 if fakes[0].dtype.is_floating_point else 1
        if name in ("_to_copy", "copy_"):
            crossed = self._cross(name, args, kwargs)
            if crossed is not None:
                return crossed
        self._note("mixed", name, [t for t in flat if not isinstance(t, FakeTensor)])
        unknown = self._unknown(name, args, fakes)
        if unknown is not None:
            return unknown
        if name not in VIEWS:
            self.seen.launches[self.phase][name] += launches(name, args)
        with self.fake:
            out = func(*args, **kwargs)
        self._note("left", name, tree_flatten(out)[0])
        return out

    def _note(self, kind: str, name: str, tensors: list[Any]) -> None:
        """Find tensors of the CPU among those of an operation; single numbers may be there."""
        for t in tensors:
            if isinstance(t, torch.Tensor) and t.device.type == "cpu" and t.dim():
                self._find(kind, f"{name} with {tuple(t.shape)} {t.dtype}")

    def _cross(self, name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """Copy between host and device; None where a copy does not leave the device."""
        if name == "copy_":
            target, source = args[0], args[1]
            quick = bool(kwargs.get("non_blocking") or (len(args) > 2 and args[2]))
            to_host, dtype = not isinstance(target, FakeTensor), target.dtype
        else:
            source, target = args[0], None
            quick, wanted = bool(kwargs.get("non_blocking")), kwargs.get("device")
            to_host = wanted is not None and torch.device(wanted).type == "cpu"
            dtype = kwargs.get("dtype") or source.dtype
        size = source.numel() * source.element_size()
        what = f"{tuple(source.shape)} {source.dtype}"
        if isinstance(source, FakeTensor):
            if not to_host:
                return None
            self._find("read", what)
            values = invented(source, dtype)
            return values if target is None else target.copy_(values)
        if not quick and (source.dim() or target is None):
            self._find("upload", what)
        elif size > STAGED and not source.is_pinned():
            self._find("pageable", what)
        self.seen.launches[self.phase]["upload"] += 1
        if target is not None:
            return target
        with self.fake:
            return torch.empty_strided(source.shape, source.stride(), dtype=dtype, device=CUDA)

    def _unknown(self, name: str, args: tuple[Any, ...], fakes: list[FakeTensor]) -> Any:
        """Invent what an operation returns whose shape depends on values; None for the others."""
        tensor, rows = fakes[0] if fakes else None, 0
        if tensor is None:
            return None
        if name in DYNAMIC:
            self._find("dynamic", name)
            with self.fake:
                shape = (max(1, len(tensor) // 2), tensor.dim())
                return torch.empty(shape, dtype=torch.int64, device=CUDA)
        if name not in ("index", "index_put", "index_put_", "_unsafe_index"):
            return None
        if not any(t is not None and t.dtype in (torch.bool, torch.uint8) for t in args[1]):
            return None
        self._find("dynamic", f"{name} by a mask")
        if name.startswith("index_put"):
            return args[0]
        # All but the diagonal of a square, else half.
        square = tensor.dim() == 2 and tensor.shape[0] == tensor.shape[1]
        rows = tensor.numel() - len(tensor) if square else tensor.numel() // 2
        with self.fake:
            return torch.empty(rows, dtype=tensor.dtype, device=CUDA)


def _place(house: str) -> str:
    """Return the innermost line of the sources that is being run."""
    frame = sys._getframe(2)
    while frame is not None:
        name = frame.f_code.co_filename
        if name.startswith(house) and "site-packages" not in name and "/fake_cuda/" not in name:
            return f"{name[len(house) :].lstrip('/')}:{frame.f_lineno}"
        frame = frame.f_back  # type: ignore[assignment]
    return "?"


def launches(name: str, args: tuple[Any, ...]) -> int:
    """Return the kernels of an operation; those on lists run in torch's chunks where they can."""
    if not name.startswith(("_foreach", "_fused")) or not isinstance(args[0], (list, tuple)):
        return SEVERAL.get(name, 1)
    tensors = args[0]
    for other in args[1:]:
        if isinstance(other, (list, tuple)) and isinstance(other[0] if other else 0, torch.Tensor):
            alike = all(a.shape == b.shape for a, b in zip(tensors, other, strict=False))
            same = name == "_foreach_copy_" or tensors[0].dtype == other[0].dtype
            if not name.startswith("_fused") and not (alike and same):
                return len(tensors)  # torch takes them one by one
    chunks = sum(-(-t.numel() // 65536) for t in tensors)
    found = max(-(-chunks // 320), -(-len(tensors) // 36))
    return found + 1 if name == "_foreach_norm" else found


def invented(tensor: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Return values on the CPU in place of a device tensor's."""
    shape = tuple(tensor.shape)
    if dtype.is_floating_point:
        return torch.rand(shape).to(dtype)
    if dtype == torch.bool:
        return torch.rand(shape) < 0.5
    numbers = torch.arange(tensor.numel()) % (2 if dtype == torch.uint8 else 3)
    return numbers.to(dtype).view(shape)


class Unset(TorchFunctionMode):
    """Leave large weights as memory has them: no value of theirs is looked at."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        if getattr(func, "__name__", "") in ("uniform_", "normal_", "erfinv_"):
            tensor = args[0] if args else kwargs["tensor"]  # of Tensor, or of torch.nn.init
            if tensor.numel() > STAGED:
                return tensor
        return func(*args, **kwargs)


class AsBuilt(TorchFunctionMode):
    """What a CUDA build does and a CPU build cannot: flash attention, tensors made of lists."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        if func is torch.Tensor.new_tensor and isinstance(args[0], FakeTensor):
            # As torch does it: a CPU tensor, then a copy that waits.
            dtype = kwargs.get("dtype") or args[0].dtype
            return torch.tensor(*args[1:], dtype=dtype).to(kwargs.get("device") or args[0].device)
        if func is torch.tensor and torch.device(kwargs.get("device") or "cpu").type == "cuda":
            device = kwargs.pop("device")
            return torch.tensor(*args, **kwargs).to(device)
        attention = torch.nn.functional.scaled_dot_product_attention
        if func is attention and isinstance(args[0], FakeTensor):
            q, k, v = args[:3]
            if torch.is_autocast_enabled("cuda"):
                halves = (t.bfloat16() if t.dtype == torch.float32 else t for t in (q, k, v))
                q, k, v = halves
            if (
                q.dtype in (torch.bfloat16, torch.float16)
                and kwargs.get("attn_mask") is None
                and q.shape[-1] % 8 == 0
            ):
                dropout = kwargs.get("dropout_p", 0.0)
                return aten._scaled_dot_product_flash_attention(
                    q, k, v, dropout, False, scale=kwargs.get("scale")
                )[0]
        return func(*args, **kwargs)
