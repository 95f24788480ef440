"""An own table of the same runs, with labels that are long, alike, equal, empty and wide."""

from __future__ import annotations

LONG = '''"""Long labels of runs that another table has."""

from harness.api import Column, Row, Table, mae, paper

pretrain, sam = paper.described()
plain = paper.finetune_plain()
SAME = "Masked autoencoder with random masks, "

EXPERIMENT = Table(
    title="long labels",
    source="",
    columns=(
        Column(dataset="btmd"),
        Column(
            dataset="btmd",
            metric="balanced_accuracy",
            title="Brain tumour magnetic resonance images, evaluated part alone, mean of classes",
        ),
    ),
    rows=(
        Row(name="r75", label=SAME + "mask ratio 75 %", stages=mae.stages()),
        Row(name="r50", label=SAME + "mask ratio 50 %", stages=mae.stages()),
        Row(name="plain", label=SAME + "W" * 40, stages=(pretrain, plain)),
        Row(name="one", label="The same label", stages=(pretrain, plain)),
        Row(name="two", label="The same label", stages=(pretrain, sam)),
        Row(name="msmae", label=" ", stages=(pretrain, sam)),
    ),
)
'''
