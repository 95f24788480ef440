"""Arrays are written in bounded memory, each row at its place."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from harness.data import writing
from harness.data.writing import Rows


def test_rows_are_written_in_any_order(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 256, (5, 4, 3, 2), dtype=np.uint8)
    rows = Rows(tmp_path / "a.npy", values.shape)
    for row in (3, 0, 4, 1):
        rows.write(row, values[row])
    rows.close()
    read = np.load(tmp_path / "a.npy")
    np.testing.assert_array_equal(read[[3, 0, 4, 1]], values[[3, 0, 4, 1]])
    assert not read[2].any()


@pytest.mark.parametrize("wrong", [np.zeros((4, 3), np.uint8), np.zeros((4, 4), np.float32)])
def test_rows_of_another_form_are_refused(tmp_path: Path, wrong: np.ndarray) -> None:
    rows = Rows(tmp_path / "a.npy", (2, 4, 4))
    with pytest.raises(ValueError, match=r"not uint8 \(4, 4\)"):
        rows.write(0, wrong)
    rows.close()


def test_large_images_are_decoded_one_at_a_time() -> None:
    assert writing._at_once(0, workers=16) == 1  # the size is not known yet
    assert writing._at_once(600 * 450, workers=8) == 16
    assert writing._at_once(100_000_000, workers=8) == 1
    # 3.4 million pixels take about 41 MB each while they are decoded.
    assert writing._at_once(3_400_000, workers=64) == writing.IN_FLIGHT // (3_400_000 * 12)


PEAK = """
    import resource, sys
    import numpy as np
    from pathlib import Path
    from harness.data import prepare, writing
    from harness.data.decode import Decoded
    from harness.data.sets import phantom
    from harness.spec.dataset import Item

    count, size = int(sys.argv[2]), 256
    random = np.random.default_rng(0)
    picture = random.integers(0, 256, (size, size, 3), dtype=np.uint8)
    given = dict(mask=None, size=(size, size), pixels="0" * 64)

    def decoder(item):
        return Decoded(image=picture + np.uint8(1), sketch=SKETCH, **given)

    from harness.data import twins
    SKETCH = np.zeros(twins.SKETCH, np.uint8)
    dataset = phantom.DATASETS[0]
    items = tuple(Item(name=str(i), label=0, image=str(i)) for i in range(count))
    work = writing.Work(dataset=dataset, items=items, decoder=decoder, size=size)
    folder = Path(sys.argv[1])
    folder.mkdir()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    writing.decode_all(work, folder)
    print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


def test_memory_does_not_grow_with_the_store(tmp_path: Path) -> None:
    script = [sys.executable, "-c", textwrap.dedent(PEAK), str(tmp_path / "a"), "1500"]
    ended = subprocess.run(script, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    # The arrays have 281 MiB; a writable memory map of them would count as the process's own.
    assert (tmp_path / "a" / "images.npy").stat().st_size > 281 * 2**20
    assert int(ended.stdout) < 60
