"""What people read goes on, or to nowhere, whoever reads it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

WRITERS = {
    "note": "from harness import console; write = console.note",
    "say": "from harness import console; write = console.say",
    "rich": "from harness import console; write = console.wide_console(stderr=True).print",
    "bars": "from harness import console; write = console.bars('x').__enter__().console.print",
}


@pytest.mark.parametrize("writer", WRITERS)
def test_a_reader_that_has_gone_ends_nothing(writer: str, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        f"{WRITERS[writer]}\n"
        "import time; from pathlib import Path\n"
        "write('first')\n"
        "Path('ready').touch()\n"
        "while not Path('gone').exists(): time.sleep(0.01)\n"
        "for number in range(100): write('x' * 1000)\n"
        "Path('done').touch()\n"
    )
    with subprocess.Popen(
        [sys.executable, script], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.stdout.close()
        (tmp_path / "gone").touch()
        assert process.wait(60) == 0
    assert (tmp_path / "done").exists()
