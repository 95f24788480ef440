"""How OpenMP's threads wait: asleep by default, as the user says otherwise."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from harness import openmp


@pytest.mark.parametrize("name", openmp.CHOSEN)
def test_a_choice_of_the_user_is_kept(name: str) -> None:
    environment = {name: "7", "OTHER": "1"}
    openmp.asleep(environment)
    assert environment == {name: "7", "OTHER": "1"}
    openmp.asleep(empty := {})
    assert empty == {"OMP_WAIT_POLICY": "PASSIVE"}


@pytest.mark.parametrize(("given", "policy"), [(None, "PASSIVE"), ("active", "ACTIVE")])
def test_the_library_reads_it_before_torch_loads(given: str | None, policy: str) -> None:
    environment = {n: v for n, v in os.environ.items() if n not in openmp.CHOSEN}
    environment |= {"OMP_DISPLAY_ENV": "verbose"} | ({"OMP_WAIT_POLICY": given} if given else {})
    ended = subprocess.run(
        [sys.executable, "-m", "harness", "doctor"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert f"OMP_WAIT_POLICY = '{policy}'" in ended.stderr
