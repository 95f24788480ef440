"""Where the paper's text and its released code differ, with the source of every difference.

The values are those of ``paper``; ``harness audit code`` compares the objects, and refuses a
difference that has no source here. ``READINGS`` are literal readings of the text that the harness
does not run as described, because the code or another passage says otherwise.
"""

from __future__ import annotations

from dataclasses import replace

from harness.methods.msmae import paper
from harness.spec.compared import Compared, Effect, Sources, Unset

_MAPS = "Section 3.2: the [CLS] row of the last block's attention"
_CROP = "Section 3.2: cropped so that its elements correspond to the input's pixels"
_NORMALISATION = "Eq. 5: mean over the heads, then normalised"
_ONES = "update of the masks: the maps are computed, then a tensor of ones is returned"
_TOP_LEFT = "joint crop: offsets are divided by the image's size as whole numbers, as in AMT's code"
_PER_HEAD = "update of the masks: each head is scaled to 0..1, then the heads are averaged"
_UNIFORM = "masks are drawn uniformly: SAM does not look at attention"
_CELLS = "of a map only the upper left two or three cells along each axis are used"
_OTHER_MAPS = "other patches weigh most, where the weights are the maps (Table 3, AMT's crop)"
_ONES_ONLY = "it acts on the maps alone, and no row has it without weights of one"
_NUMBERS: Effect = "changes numbers"
_COST: Effect = "changes cost only"
_NOT_USED: Effect = "not used by the tables"

_GUIDANCE = {
    "weights": Sources(
        text=_MAPS,
        code=_ONES,
        effect=_NUMBERS,
        why=_UNIFORM,
    ),
    "crop": Sources(
        text=_CROP,
        code=_TOP_LEFT,
        effect=_NUMBERS,
        why=_CELLS,
    ),
    "normalisation": Sources(
        text=_NORMALISATION,
        code=_PER_HEAD,
        effect=_NUMBERS,
        why=_OTHER_MAPS,
    ),
}
"""What masks follow, in pre-training and in fine-tuning alike."""

SETTINGS: tuple[Compared, ...] = (
    Compared(
        name="pre-training",
        text=paper.DESCRIBED,
        code=paper.RELEASED,
        sources={
            **_GUIDANCE,
            "softmax": Sources(
                text="Eq. 2: softmax, then cross-entropy",
                code="model: softmax; training loop: a cross-entropy that applies it again",
                effect=_NUMBERS,
                why="the loss of K classes stays above ln(1 + (K - 1) / e)",
            ),
            "random_epochs": Sources(
                text="Table 4 and section 4.1: random masks before 40 epochs of warm-up",
                code="model: random while epoch <= 40, written as a number, from 0",
                effect=_NOT_USED,
                why=_ONES_ONLY,
            ),
            "update_rule": Sources(
                text="Section 4.1: every 40 epochs after the warm-up",
                code="training loop: after epoch e >= 40 with e % interval = 0, except the last",
                effect=_NOT_USED,
                why=_ONES_ONLY,
            ),
        },
    ),
    Compared(
        name="fine-tuning",
        text=paper.FINETUNE_SAM,
        code=paper.FINETUNE_RELEASED,
        sources={
            **_GUIDANCE,
        },
    ),
    Compared(
        name="segmentation",
        text=paper.SEGMENT,
        code=paper.SEGMENT_RELEASED,
        sources={
            "final_norm": Sources(
                text="Section 4.4: the encoder in SETR, whose blocks end with a norm",
                code="backbone: no norm behind the last block; the pre-trained one is dropped",
                effect=_NUMBERS,
                why="the head sees features of another scale",
            ),
            "head_norm": Sources(
                text="Section 4.4: SETR, whose head begins with LayerNorm",
                code="PUP head: none",
                effect=_NUMBERS,
                why="the head sees features of another scale",
            ),
            "final_conv": Sources(
                text="Section 4.4: SETR, 1 x 1",
                code="PUP head: a last convolution of 3 x 3",
                effect=_NUMBERS,
                why="the last layer sees nine pixels and has nine times the weights",
            ),
            "conv_bias": Sources(
                text="Section 4.4: SETR, none before BatchNorm",
                code="PUP head: with biases",
                effect=_COST,
                why="BatchNorm subtracts the biases: more parameters, the same masks",
            ),
            "align_corners": Sources(
                text="Section 4.4: SETR, no",
                code="PUP head: upsampling aligns corners",
                effect=_NUMBERS,
                why="every upsampled pixel takes other weights of its neighbours",
            ),
            "heads": Sources(
                text="Section 4.4: one prediction",
                code="four heads on blocks 3, 5, 7 and 11; loss and metric take the last",
                effect=_COST,
                why="loss and metric take the last: three heads are computed, never trained",
            ),
            "qkv_bias": Sources(
                text="Section 4.4: the pre-trained ViT-B",
                code="backbone: qkv_bias off, weights loaded with strict=False",
                effect=_NUMBERS,
                why="twelve pre-trained biases are dropped without a word",
            ),
            "input_scale": Sources(
                text="not stated",
                code="data set: normalised by ImageNet's statistics, then divided by 255 again",
                effect=_NUMBERS,
                why="inputs have a standard deviation of 0.005 instead of about 1",
            ),
            "channel_order": Sources(
                text="not stated",
                code="data set: read by OpenCV (BGR), normalised as RGB",
                effect=_NUMBERS,
                why="red is normalised as blue; of grey images the channels' shifts are swapped",
            ),
            "head_init": Sources(
                text="not stated (SETR's own: mmseg's)",
                code="PUP head: torch's defaults",
                effect=_NUMBERS,
                why="the head starts from weights of another spread",
            ),
            "image_resize": Sources(
                text="not stated",
                code="data set: OpenCV's bilinear, without antialiasing",
                effect=_NUMBERS,
                why="shrinking skips pixels: other inputs of the same images",
            ),
            "mask_resize": Sources(
                text="not stated",
                code="data set: OpenCV's nearest neighbour, at the corner",
                effect=_NUMBERS,
                why="the true masks that are trained on and scored move by half a pixel",
            ),
        },
    ),
    Compared(
        name="recipe of the pre-training",
        text=paper.described()[0].recipe,
        code=paper.released()[0].recipe,
        sources={
            "order": Sources(
                text="not stated; MAE shuffles every epoch",
                code="training loop: set_epoch is called under torch.distributed alone",
                effect=_NUMBERS,
                why="one permutation for all epochs, and drop_last leaves out its end for good",
            )
        },
    ),
    Compared(
        name="recipe of the fine-tuning",
        text=paper.described()[1].recipe,
        code=paper.released()[1].recipe,
        sources={
            "order": Sources(
                text="not stated; MAE shuffles every epoch",
                code="training loop: set_epoch is called under torch.distributed alone",
                effect=_NUMBERS,
                why="one permutation for all epochs, and drop_last leaves out its end for good",
            )
        },
    ),
    Compared(
        name="recipe of the segmentation",
        text=paper.SEGMENTATION,
        code=paper.SEGMENTATION_RELEASED,
        sources={
            "schedule": Sources(
                text="Table 6: cosine decay",
                code="CosineAnnealingLR, stepped once an epoch",
                effect=_NUMBERS,
                why="the learning rate falls in steps of an epoch, not of an iteration",
            ),
            "min_lr": Sources(
                text="Table 6: none given",
                code="CosineAnnealingLR, eta_min 1e-5",
                effect=_NUMBERS,
                why="the last epochs still train, at a tenth of the learning rate",
            ),
        },
    ),
)
"""Settings that the harness runs as described, beside those that it runs as released."""

READINGS: tuple[Compared, ...] = (
    Compared(
        name="pre-training",
        text=replace(paper.DESCRIBED, head="mlp", reconstruction="l2"),
        code=paper.DESCRIBED,
        reading="literal; the harness runs the code's reading in both",
        sources={
            "head": Sources(
                text="Eq. 2: MLP(cls)",
                code="model: a single linear layer",
                effect=_NUMBERS,
                why="the classifier of the pre-training has another layer",
            ),
            "reconstruction": Sources(
                text="Eq. 1: an L2 norm without a square",
                code="loss: mean square of the masked patches' pixels, as MAE",
                effect=_NUMBERS,
                why="the second half of eq. 3 weighs 14 % instead of 0.6 % at the start (K = 5)",
            ),
        },
    ),
    Compared(
        name="fine-tuning",
        text=replace(paper.FINETUNE_SAM, pool="class"),
        code=paper.FINETUNE_SAM,
        reading="by eq. 8; Algorithm 1 and Table 8 (f) agree with the code",
        sources={
            "pool": Sources(
                text="Eq. 8 and section 3.3: [CLS]",
                code="global pool on by default: mean of the patch tokens, then a new norm",
                effect=_NUMBERS,
                why="the last block's [CLS] attention, which SAM reads, has no gradient",
            )
        },
    ),
    Compared(
        name="recipe of the pre-training",
        text=replace(paper.PRETRAIN, lr_batch=None),
        code=paper.PRETRAIN,
        reading="a base rate of 1e-3, literally; the harness runs MAE's rule in both",
        sources={
            "lr_batch": Sources(
                text="Section 4.1 and Table 4: base learning rate 1e-3 at batch 64",
                code="training loop: base rate * batch / 256",
                effect=_NUMBERS,
                why="the rate is 2.5e-4 instead of 1e-3 at batch 64",
            )
        },
    ),
)
"""Literal readings of the text beside what the harness runs as described."""

UNSET: tuple[Unset, ...] = (
    Unset(
        name="length of the fine-tuning",
        text="100 epochs, batch 256",
        code="2 epochs and batch 64 by default; the README passes the batch alone",
        sources=Sources(
            text="Table 5",
            code="options of the fine-tuning; README",
            effect=_NUMBERS,
            why="the commands of the README train for 2 epochs instead of 100",
        ),
    ),
    Unset(
        name="reported epoch",
        text="not stated",
        code="the best of all epochs, on the images that are reported",
        sources=Sources(
            text="Section 4.1",
            code="training loop: running maximum",
            effect=_NUMBERS,
            why="the best epoch, chosen on the reported images, flatters",
        ),
    ),
    Unset(
        name="F1 and IoU",
        text="not stated",
        code="over the pixels of a batch of eight, F1 out of that IoU, then a mean over batches",
        sources=Sources(
            text="Table 2",
            code="metrics of the segmentation",
            effect=_NUMBERS,
            why="means over batches are not those over images, and depend on the batches",
        ),
    ),
    Unset(
        name="split of BTMD",
        text="divided at random",
        code="the official archive's folders: their sizes are the paper's",
        sources=Sources(
            text="Appendix A",
            code="README, folders Training and Testing",
            effect=_NUMBERS,
            why="other images are trained on and reported",
        ),
    ),
    Unset(
        name="accuracy on Messidor-2",
        text="63.41",
        code="68.41 in the README's abstract, 63.41 in its table",
        sources=Sources(
            text="Table 1",
            code="README",
            effect=_NOT_USED,
            why="the text of a README; no table prints it",
        ),
    ),
    Unset(
        name="momentum of the segmentation's optimiser",
        text="Adam with a momentum of 0.9",
        code="Adam's default betas; the option for momentum is not used",
        sources=Sources(
            text="Appendix C.1",
            code="options of the segmentation",
            effect=_NOT_USED,
            why="Adam's first beta is 0.9 by default; the option is never read",
        ),
    ),
    Unset(
        name="commands",
        text="none",
        code="the README's commands end in an error: --num_classes is unknown to fine-tuning, and"
        " pre-training makes a folder without a name",
        sources=Sources(
            text="-",
            code="README; options",
            effect=_NOT_USED,
            why="a command that ends in an error gives no number",
        ),
    ),
)
"""Differences that no setting of the harness expresses."""
