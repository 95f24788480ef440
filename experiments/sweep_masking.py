r"""Sweep of MSMAE's masks: mask and throw ratio, update intervals, lambda, random epochs.

    harness sweep sweep_masking [--profile smoke|laptop|paper] [--trials 40] [--sampler grid]
    harness report sweep_masking

Expected with ``--profile paper``: the paper's setting (mask 0.45, throw 0.30, lambda 0.1, maps
renewed every 40 epochs after 40 random ones) is among the best trials. One seed and BTMD's
validation part cannot rank similar trials: the report gives each accuracy's interval. Trials that
differ only in fine-tuning's interval share one pre-training; others need a pre-training each.

Mask and throw ratio are the same in pre-training and fine-tuning, as in Tables 4 and 5. Their sum
is at most 0.9, so that the encoder gets at least a tenth of the patches. The throw ratio is sampled
as a share of what the mask leaves: samplers then search a box in which every trial can be trained.
The number of epochs with random masks is searched; the learning rate's warm-up is Table 4's.
Intervals and epochs are at the paper's scale, which profiles shrink.

    harness sweep sweep_masking --sampler grid --set pretrain.method.classification_weight=0.1 \
        --set pretrain.method.update_interval=40 --set pretrain.method.random_epochs=40 \
        --set finetune.method.update_interval=20

fixes all dimensions but the two ratios, and tries every point of their grid.
"""

from __future__ import annotations

from harness.api import Real, Row, Space, SumAtMost, Sweep, Whole, paper

EXPERIMENT = Sweep(
    title="MSMAE's masks: ratios, intervals, lambda and random epochs",
    dataset="btmd",
    row=Row(name="msmae", label="MSMAE", stages=paper.described(), backbone="ViT-B"),
    space=Space(
        dimensions=(
            Real(
                name="mask_ratio",
                fields=("pretrain.method.mask_ratio", "finetune.method.mask_ratio"),
                low=0.15,
                high=0.75,
                step=0.15,
            ),
            Real(
                name="throw_ratio",
                fields=("pretrain.method.throw_ratio", "finetune.method.throw_ratio"),
                low=0.0,
                high=0.6,
                step=0.15,
            ),
            Whole(
                name="update_interval",
                fields=("pretrain.method.update_interval",),
                low=20,
                high=80,
                step=20,
            ),
            Whole(
                name="finetune_interval",
                fields=("finetune.method.update_interval",),
                low=10,
                high=50,
                step=10,
            ),
            Real(
                name="lambda",
                fields=("pretrain.method.classification_weight",),
                low=0.01,
                high=1.0,
                log=True,
                digits=1,
                grid=(0.01, 0.03, 0.1, 0.3, 1.0),
            ),
            Whole(
                name="random_epochs",
                fields=("pretrain.method.random_epochs",),
                low=0,
                high=80,
                step=20,
            ),
        ),
        constraints=(
            SumAtMost(name="mask + throw < 1", dimensions=("mask_ratio", "throw_ratio"), total=0.9),
        ),
    ),
    trials=40,
    heatmap=("mask_ratio", "throw_ratio"),
)
