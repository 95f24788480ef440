"""What a user's file does to its process when it is loaded reaches no row but its own.

The command loads it in its own process, in which the rows of this project may be trained. Where
torch is not imported yet, nothing is trained later, and nothing is looked at.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator

from harness import console
from harness.errors import UserError, listed

VARIABLES = (
    *("ATEN_", "CUBLAS", "CUDA_", "DNNL_", "GOMP_", "KMP_", "MKL_", "NVIDIA_", "OMP_", "ONEDNN_"),
    *("OPENBLAS_", "PYTORCH_", "TORCH_"),
)
"""Beginnings of the environment variables on which numbers depend."""


@contextlib.contextmanager
def guarded(what: object) -> Iterator[None]:
    """Put back what the block sets of torch, the folder and the environment, and say so.

    Args:
        what: is loaded, in words.

    Raises:
        UserError: it replaces functions, which are put back, or leaves hooks or threads behind.
    """
    if "torch" not in sys.modules:
        yield
        return
    from harness import surroundings
    from harness.sources.traces import Traces

    before, environment = Traces.now(), _environment()
    with surroundings.same_numbers() as changed:
        yield
    found = before.left(Traces.now())
    if found:
        before.put_back()
        raise UserError(
            f"{what}: when it is loaded, {listed(found[:3])}, which reaches every row; do that in"
            " the method's build, from where it reaches its own rows only."
        )
    different = {name for name, _ in environment.items() ^ _environment().items()}
    for name in sorted(different):
        changed.append(f"the variable {name}")
        if name in environment:
            os.environ[name] = environment[name]
        else:
            del os.environ[name]
    if changed and "--worker" not in sys.argv:
        console.warn_once(
            f"{what} sets {listed(changed)} when it is loaded; it is put back,"
            " since every row would get it. Set it in the method's build."
        )


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.startswith(VARIABLES)}
