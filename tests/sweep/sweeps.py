"""A small sweep, and options with which a trial takes a second."""

from __future__ import annotations

SWEEP = '''"""A small sweep."""
from harness.spec.space import Choice, Real, Space, SumAtMost, Whole
from harness.spec.table import Row\nfrom harness.spec.sweep import Sweep
from harness.methods.msmae import paper

EXPERIMENT = Sweep(
    title="Small", dataset="phantom-mri", trials=3, heatmap=("mask", "throw"),
    row=Row(name="msmae", label="MSMAE", stages=paper.described()),
    space=Space(
        dimensions=(
            Real(name="mask", low=0.3, high=0.6, step=0.3,
                 fields=("pretrain.method.mask_ratio", "finetune.method.mask_ratio")),
            Real(name="throw", low=0.0, high=0.6, step=0.3,
                 fields=("pretrain.method.throw_ratio", "finetune.method.throw_ratio")),
            Whole(name="interval", fields=("finetune.method.update_interval",),
                  low=10, high=20, step=10),
        ),
        constraints=(
            SumAtMost(name="mask + throw < 1", dimensions=("mask", "throw"), total=0.9),
        ),
    ),
)
'''
QUICK = (
    *("--profile", "smoke", "--set", "recipe.epochs=1", "--set", "recipe.warmup_epochs=0"),
    *("--set", "recipe.batch_size=64"),
)

NAMED = (*QUICK, "--name", "small")
"""The same, with a name for the pages, which are those of a part: settings are changed."""
