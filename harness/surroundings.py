"""State of the process that a user's code may set, put back after each stage and each check."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

HANDLED = tuple(
    getattr(signal, name)
    for name in ("SIGINT", "SIGTERM", "SIGALRM", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGPIPE")
    if hasattr(signal, name)
)
"""Signals whose handlers are put back."""


@contextlib.contextmanager
def kept() -> Iterator[None]:
    """Put back after the block what it has set for the whole process.

    These are torch's default dtype and device, its grad mode, autocast, switches for determinism,
    precision, libraries, anomalies and threads, the standard streams and hooks, the working
    directory, Python's path, warnings, numpy's handling of errors, and handlers of signals.
    """
    with warnings.catch_warnings(), np.errstate(), contextlib.ExitStack() as stack:
        stack.callback(_put_back, [(state, state.read()) for state in STATES])
        if threading.current_thread() is threading.main_thread():
            handlers = {number: signal.getsignal(number) for number in HANDLED}
            stack.callback(_put_handlers_back, handlers)
        stack.callback(_put_folder_back, _folder())
        yield


def _put_back(states: Sequence[tuple[State, Any]]) -> list[str]:
    """Put states back to what they were, and return the names of those that were others."""
    changed = []
    for state, before in states:
        if (now := state.read()) is not before and now != before:
            changed.append(state.name)
            state.write(before)
    return changed


@contextlib.contextmanager
def same_numbers() -> Iterator[list[str]]:
    """Put back after the block what it has set of the states on which numbers depend.

    The working directory is put back, too. The list that is yielded has, after the block, the
    names of what was changed.
    """
    before, folder = [(state, state.read()) for state in COMPUTING], _folder()
    changed: list[str] = []
    try:
        yield changed
    finally:
        changed += _put_back(before)
        if folder is not None and _folder() != folder:
            changed.append("the working directory")
            os.chdir(folder)


def _put_handlers_back(handlers: dict[int, Any]) -> None:
    for number, handler in handlers.items():
        if handler is not None and signal.getsignal(number) is not handler:
            signal.signal(number, handler)


def _folder() -> str | None:
    try:
        return str(Path.cwd())
    except FileNotFoundError:  # it is gone
        return None


def _put_folder_back(folder: str | None) -> None:
    if folder is not None and _folder() != folder:
        os.chdir(folder)


def _device() -> torch.device | None:
    """Return the default device that was set; None where none was."""
    context = getattr(torch._GLOBAL_DEVICE_CONTEXT, "device_context", None)
    return None if context is None else context.device


def _deterministic() -> tuple[bool, bool]:
    return (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )


def _set_deterministic(state: tuple[bool, bool]) -> None:
    torch.use_deterministic_algorithms(state[0], warn_only=state[1])


def _anomalies() -> tuple[bool, bool]:
    return torch.is_anomaly_enabled(), torch.is_anomaly_check_nan_enabled()


def _cudnn() -> tuple[bool, ...]:
    flags = torch.backends.cudnn
    return flags.enabled, flags.benchmark, flags.deterministic, flags.allow_tf32


def _set_cudnn(state: tuple[bool, ...]) -> None:
    flags = torch.backends.cudnn
    flags.enabled, flags.benchmark, flags.deterministic, flags.allow_tf32 = state


def _mkldnn() -> tuple[Any, ...]:
    flags: Any = torch.backends.mkldnn
    return flags.enabled, flags.deterministic


def _set_mkldnn(state: tuple[Any, ...]) -> None:
    flags: Any = torch.backends.mkldnn
    flags.enabled, flags.deterministic = state


def _autocast() -> tuple[Any, ...]:
    """Return whether autocast is on and its type, by device; whether it caches; its blocks."""
    kinds = ("cpu", "cuda")
    torch.autocast_increment_nesting()
    return (
        tuple(torch.is_autocast_enabled(kind) for kind in kinds),
        tuple(torch.get_autocast_dtype(kind) for kind in kinds),
        torch.is_autocast_cache_enabled(),
        torch.autocast_decrement_nesting(),
    )


def _set_autocast(state: tuple[Any, ...]) -> None:
    for kind, on, dtype in zip(("cpu", "cuda"), *state[:2], strict=True):
        torch.set_autocast_enabled(kind, on)
        torch.set_autocast_dtype(kind, dtype)
    torch.set_autocast_cache_enabled(state[2])
    # Within a block that is never left, weights that were cast once would be used for ever.
    blocks = torch.autocast_increment_nesting()
    while blocks > state[3]:
        blocks = torch.autocast_decrement_nesting()
    while blocks < state[3]:
        blocks = torch.autocast_increment_nesting()
    torch.clear_autocast_cache()


def _set_path(path: list[str]) -> None:
    sys.path[:] = path


def _set_streams(state: tuple[Any, ...]) -> None:
    sys.stdin, sys.stdout, sys.stderr, sys.excepthook, sys.displayhook = state


def _set_collecting(on: Any) -> None:
    (gc.enable if on else gc.disable)()


def _precision() -> str:
    """Return the precision of products; "mixed" where it was set by library."""
    try:
        return torch.get_float32_matmul_precision()
    except RuntimeError:  # torch does not answer then, but it takes another one
        return "mixed"


def _set_precision(state: Any) -> None:
    if state != "mixed":
        torch.set_float32_matmul_precision(state)


def _convolutions() -> tuple[Any, ...]:
    """Return the precision of convolutions, by library."""
    return tuple(getattr(place, "fp32_precision", None) for place in _of_convolutions())


def _set_convolutions(state: tuple[Any, ...]) -> None:
    for place, value in zip(_of_convolutions(), state, strict=True):
        if value is not None and place.fp32_precision != value:
            place.fp32_precision = value


def _of_convolutions() -> tuple[Any, ...]:
    flags: Any = torch.backends
    return tuple(getattr(library, "conv", None) for library in (flags.mkldnn, flags.cudnn))


ATTENTION = ("flash", "mem_efficient", "math", "cudnn")
"""Ways in which torch computes attention, also on the CPU."""


def _attention() -> tuple[bool, ...]:
    cuda: Any = torch.backends.cuda
    return tuple(getattr(cuda, f"{way}_sdp_enabled")() for way in ATTENTION)


def _set_attention(state: tuple[bool, ...]) -> None:
    cuda: Any = torch.backends.cuda
    for way, on in zip(ATTENTION, state, strict=True):
        getattr(cuda, f"enable_{way}_sdp")(on)


class State(NamedTuple):
    """A state of the process.

    Attributes:
        name: in words.
        read: returns it.
        write: sets it.
    """

    name: str
    read: Callable[[], Any]
    write: Callable[[Any], object]


COMPUTING: tuple[State, ...] = (
    State("torch's default dtype", torch.get_default_dtype, torch.set_default_dtype),
    State("torch's default device", _device, torch.set_default_device),
    State("torch's grad mode", torch.is_grad_enabled, torch._C._set_grad_enabled),
    State("torch's determinism", _deterministic, _set_deterministic),
    State(
        "torch's search for anomalies",
        _anomalies,
        lambda state: torch.set_anomaly_enabled(*state),
    ),
    State("torch.backends.cudnn", _cudnn, _set_cudnn),
    State("torch.backends.mkldnn", _mkldnn, _set_mkldnn),
    State("torch's autocast", _autocast, _set_autocast),
    State("torch's precision of products", _precision, _set_precision),
    State("torch's precision of convolutions", _convolutions, _set_convolutions),
    State("torch's ways to compute attention", _attention, _set_attention),
    State("torch's number of threads", torch.get_num_threads, torch.set_num_threads),
)
"""States on which numbers depend."""

STATES: tuple[State, ...] = (
    *COMPUTING,
    State("Python's path", lambda: list(sys.path), _set_path),
    State("the depth of recursion", sys.getrecursionlimit, sys.setrecursionlimit),
    State("Python's collection of garbage", gc.isenabled, _set_collecting),
    State(
        "the standard streams",
        lambda: (sys.stdin, sys.stdout, sys.stderr, sys.excepthook, sys.displayhook),
        _set_streams,
    ),
)
"""All states that are put back after a stage."""
