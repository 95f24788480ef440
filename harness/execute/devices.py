"""The CUDA devices that a command may use, named as ``CUDA_VISIBLE_DEVICES`` names them.

A process sees the devices that this variable lists, and numbers them from 0 in that order. A worker
with a device of its own is started with the one name, so that it cannot touch another device.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Sequence

from harness.errors import UserError
from harness.ranges import said

VARIABLE = "CUDA_VISIBLE_DEVICES"

ALL = "all"
"""Stands for every device that this process sees."""

DEVICE = re.compile(r"[0-9]{1,4}|(GPU|MIG)-[0-9A-Za-z][0-9A-Za-z/-]*", re.ASCII)
"""A device: its number among those that are visible, or its UUID."""

UUIDS = """
import torch
for number in range(torch.cuda.device_count()):
    print(torch.cuda.get_device_properties(number).uuid)
"""
"""Program that prints the UUIDs of the visible devices in order.

It runs in a process of its own: a question about a device's properties fixes the devices that a
process sees for the rest of its life.
"""


def count() -> int:
    """Return the number of CUDA devices that this process sees."""
    import torch

    return torch.cuda.device_count()


def visible() -> tuple[str, ...]:
    """Return the names of the devices that this process sees, in its order.

    Where the environment names devices, possibly by UUID, these are their names; else numbers.
    """
    outer, number = os.environ.get(VARIABLE), count()
    if outer is None:
        return tuple(map(str, range(number)))
    return tuple(name.strip() for name in outer.split(","))[:number]


def check_names(names: Sequence[str]) -> None:
    """Check that each is the name of a device, or that the only one is "all".

    Raises:
        UserError: one is not.
    """
    for name in () if tuple(names) == (ALL,) else names:
        if DEVICE.fullmatch(name) is None:
            raise UserError(
                f"{said(name)} is no device; give numbers as in 0,1, UUIDs (GPU-...), or all."
            )


def chosen(wanted: Sequence[str]) -> tuple[str, ...]:
    """Return the names of the devices that a command asks for.

    Args:
        wanted: "all"; or numbers among the devices that this process sees, and UUIDs, of which the
            beginning is enough.

    Raises:
        UserError: there is no such device, or one is named twice.
    """
    present = visible()
    if not present:
        raise UserError(
            f"--devices: no CUDA device is found here ({VARIABLE} is"
            f" {os.environ.get(VARIABLE, 'not set')!r}); leave --devices out to train on the CPU."
        )
    if tuple(wanted) == (ALL,):
        return present
    names = [_find(one, present) for one in wanted]
    if len(set(names)) != len(names):
        raise UserError(f"--devices {','.join(wanted)} names a device twice; name each once.")
    return tuple(names)


def _find(wanted: str, present: Sequence[str]) -> str:
    if wanted.isdigit():
        found = [present[int(wanted)]] if int(wanted) < len(present) else []
    else:
        found = [name for name in present if name.startswith(wanted)]
        if not found and wanted.startswith("GPU-"):
            known = zip(present, uuids(), strict=False)
            found = [name for name, uuid in known if uuid.startswith(wanted)]
    if len(found) == 1:
        return found[0]
    problem = "No device" if not found else "Several devices begin with"
    outer = os.environ.get(VARIABLE)
    within = "" if outer is None else f", numbered within {VARIABLE}={outer}"
    there = ", ".join(map(str, range(len(present))))
    raise UserError(f"{problem} {wanted!r}; there are {there}{within}. Name one, or all.")


def uuids() -> tuple[str, ...]:
    """Return the UUIDs of the devices that this process sees, in its order."""
    ran = subprocess.run([sys.executable, "-c", UUIDS], capture_output=True, text=True, check=False)
    return tuple(f"GPU-{line.removeprefix('GPU-')}" for line in ran.stdout.split())


def see_only(names: Sequence[str]) -> None:
    """Let this process and those that it starts see some devices only.

    Raises:
        UserError: this process has asked for its devices before, which cannot be undone.
    """
    os.environ[VARIABLE] = ",".join(names)
    if count() != len(names):
        raise UserError(
            f"CUDA still shows {count()} devices after {VARIABLE}={','.join(names)}; set this"
            " variable before the command instead of --devices."
        )


def spread(names: Sequence[str], workers: int) -> tuple[str, ...]:
    """Return the device of each worker, round robin; none where no devices are named."""
    return tuple(names[number % len(names)] for number in range(workers)) if names else ()
