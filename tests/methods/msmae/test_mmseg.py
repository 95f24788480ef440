"""mmsegmentation kept at a distance: when it is imported, what it leaves behind, what it counts."""

from __future__ import annotations

import importlib
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from harness.errors import UserError
from tests.segment_cases import segmenter

ROOT = Path(__file__).parents[3]


def test_mmsegs_own_dice_is_inverted_for_one_channel() -> None:
    """Why we have our own; when this fails, mmseg has mended it."""
    segmenter()  # imports mmseg as the harness does
    losses = importlib.import_module("mmseg.models.losses")
    masks = torch.zeros(1, 4, 4, dtype=torch.long)
    masks[:, 1:3, 1:3] = 1
    sure = (masks[:, None].float() * 2 - 1) * 20
    dice = losses.DiceLoss(use_sigmoid=True)
    assert float(dice(sure, masks)) > 0.9
    assert float(dice(-sure, masks)) < 0.1


def test_mmseg_counts_overlap_as_we_do() -> None:
    """IoU and Dice pooled over a data set, to IoUMetric's two decimals."""
    segmenter()
    evaluation = importlib.import_module("mmseg.evaluation")
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(12, 1, 16, 16, generator=generator)
    masks = (torch.rand(12, 1, 16, 16, generator=generator) < 0.3).long()
    metric = evaluation.IoUMetric(iou_metrics=["mIoU", "mDice"])
    counts = [
        metric.intersect_and_union(found, truth, 2, 255)
        for found, truth in zip((logits > 0).long()[:, 0], masks[:, 0], strict=True)
    ]
    overlap, union, found, truth = (torch.stack(part).sum(0) for part in zip(*counts, strict=True))
    theirs = metric.total_area_to_metrics(overlap, union, found, truth, ["mIoU", "mDice"])
    both = float(((logits > 0) & (masks > 0)).sum())
    sizes = float((logits > 0).sum() + (masks > 0).sum())
    assert round(100 * both / (sizes - both), 2) == round(100 * float(theirs["IoU"][1]), 2)
    assert round(100 * 2 * both / sizes, 2) == round(100 * float(theirs["Dice"][1]), 2)


def test_nothing_of_mmengine_leaks() -> None:
    segmenter()
    registry = importlib.import_module("mmengine.registry")
    assert registry.DefaultScope.get_current_instance() is None
    assert "mmcv._ext" not in sys.modules or importlib.util.find_spec("mmcv._ext") is not None


@pytest.mark.slow
def test_building_prints_nothing_and_a_compiled_op_refuses() -> None:
    program = (
        "import sys, warnings\n"
        "warnings.simplefilter('always')\n"
        "from tests import tiny\n"
        "from harness.methods.msmae.segmentation import Segment\n"
        "assert 'mmseg' not in sys.modules\n"
        "Segment().build(tiny.dataset(), tiny.ENCODERS)\n"
        "assert 'mmcv._ext' not in sys.modules\n"
        "import mmcv.ops, importlib.util, torch\n"
        "if importlib.util.find_spec('mmcv._ext') is None:\n"
        "    try:\n        mmcv.ops.nms(torch.rand(1, 4), torch.rand(1), 0.5)\n"
        "    except NotImplementedError as error:\n        assert 'full mmcv' in str(error)\n"
        "    else:\n        raise SystemExit('it ran')\n"
    )
    ran = _python(program)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")


@pytest.mark.slow
def test_mmseg_is_imported_by_a_segmentation_alone() -> None:
    program = (
        "import sys\n"
        "import harness.methods.msmae.segmentation\n"
        "from harness.methods.msmae import paper\n"
        "from harness.plan import catalog, plan\nfrom harness.spec import profiles\n"
        "catalog.experiments(), catalog.methods()\n"
        "_, table = catalog.load('table1')\n"
        "plan.make('table1', table, plan.Options(profile=profiles.SMOKE,"
        " datasets=('phantom-mri',)))\n"
        "from tests import tiny\n"
        "paper.FINETUNE_PLAIN.build(tiny.dataset(), tiny.ENCODERS)\n"
        "print(sorted({'mmseg', 'mmengine', 'mmcv', 'cv2'} & sys.modules.keys()))\n"
    )
    ran = _python(program)
    assert (ran.returncode, ran.stdout) == (0, "[]\n"), ran.stderr


def _python(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )


def test_a_machine_without_mmseg_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "mmseg" else real(name)
    )
    with pytest.raises(UserError, match=r"needs mmseg, not installed.*pip install") as caught:
        segmenter()
    assert "\n" not in str(caught.value)


def test_versions_that_do_not_fit_are_one_line_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mmseg.models", None)
    with pytest.raises(UserError, match=r"cannot be imported \(.*pip install"):
        segmenter()
