"""``harness run`` freezes margins before it trains, and ends with a summary that says its scale."""

from __future__ import annotations

import time
from pathlib import Path

from harness.plan import catalog
from harness.store import margins as ledger
from harness.store.margins import TableFile
from tests.api.walkthrough import METHOD, ONCE
from tests.conftest import Harness

SHOWN = 'label="Convolutions",'
PRINTED = """label="Convolutions",
            printed={"btmd": "83.60"},"""


def _table(value: float) -> str:
    text = METHOD.replace("import Augmentation", "import Margin, Augmentation")
    margins = f'margins={{"btmd": Margin(value={value}, source="a test")}},'
    return text.replace(SHOWN, PRINTED).replace('source="",', f'source="Table 1",\n    {margins}')


def test_run_freezes_first_and_marks_its_summary(tmp_path: Path, harness: Harness) -> None:
    file = Path("mine.py")
    file.write_text(_table(0.5))
    words = ("mine.py", *ONCE, "--track", "off")
    code, out, err = harness("run", *words)
    assert code == 0, err
    said = out[out.index("Verdict:") :]
    assert "Narrowed with settings recipe.epochs=1 recipe.warmup_epochs=0" in said
    assert "* Not at the paper's scale: generated images (phantom-mri)" in said
    _, out, _ = harness("verdict", "mine.py", *ONCE)
    assert "Margin btmd ± 0.5 (a test): frozen since" in out
    assert "before it was frozen" not in out
    own = TableFile(name="mine", place=catalog.place("mine.py"))
    assert ledger.path_of(Path("runs"), own).is_file()
    # A copy under another name is bound by the same published number.
    Path("copy").mkdir()
    Path("copy/other.py").write_text(_table(2.0))
    for command in ("run", "verdict"):
        code, _, err = harness(command, "copy/other.py", *ONCE)
        assert code == 2
        assert "was frozen for the same published numbers by mine / btmd" in err
    # Without its ledger, nothing shows that a margin was chosen before the runs.
    ledger.path_of(Path("runs"), own).unlink()
    _, out, _ = harness("verdict", "copy/other.py", *ONCE)
    assert "not frozen, although 1 run is finished" in out
    time.sleep(1.5)  # dates have whole seconds
    code, out, err = harness("run", "copy/other.py", *ONCE, "--track", "off")
    assert code == 0, err
    _, out, _ = harness("verdict", "copy/other.py", *ONCE)
    assert "1 of 1 runs finished before it was frozen" in out
    assert tmp_path == Path.cwd()
