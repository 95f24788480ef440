"""The command line: every bad input gets one clear line and its exit code."""

from __future__ import annotations

import argparse
import io
import json
import resource
import shlex
import shutil
import signal
import subprocess
import sys
from contextlib import chdir, redirect_stdout
from pathlib import Path
from typing import Any

import pytest
import torch

from harness import sealed
from harness.cli.main import main
from harness.cli.planning import resuming_command
from harness.interrupt import Stopped
from harness.store.checkpoint import Checkpoints
from tests import prepared
from tests.conftest import Harness

QUICK = (
    "--profile",
    "smoke",
    "--datasets",
    "phantom-mri",
    "--rows",
    "resnet50",
    "--track",
    "off",
    "--set",
    "recipe.epochs=1",
    "--set",
    "recipe.warmup_epochs=0",
)


@pytest.fixture(autouse=True)
def images(own_folder: Path) -> None:
    """Generated brains stand where the commands look; the other families do not."""
    prepared.ensure(own_folder / "data")


def refused(answer: tuple[int, str, str], *parts: str) -> None:
    """Check one clear line (commands to type may follow), exit code 2 and no traceback."""
    code, _, err = answer
    assert code == 2, err
    assert "Traceback" not in err
    for part in parts:
        assert part in err, err


def test_no_command_prints_help(harness: Harness) -> None:
    code, out, _ = harness()
    assert code == 0
    assert "harness list" in out


def test_list_names_everything(harness: Harness) -> None:
    code, out, _ = harness("list")
    assert code == 0
    for name in ("table1", "msmae", "amt", "supervised", "btmd", "phantom-mri", "laptop"):
        assert name in out


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (("run", "tabel1"), ("No experiment 'tabel1'. Did you mean 'table1'?",)),
        (("run", "table1", "--datasets", "btdm"), ("'btdm'. Did you mean 'btmd'? Known: btmd,",)),
        (("run", "table1", "--rows", "msmea"), ("No row 'msmea'. Did you mean 'msmae'?",)),
        (("run", "table1", "--profile", "laptp"), ("No profile 'laptp'. Did you mean 'laptop'?",)),
        (("run", "table1", "--set", "recipe.epoch=3"), ("'epoch'. Did you mean 'epochs'?",)),
        (("run", "table1", "--set", "recipe.epochs=few"), ("'few' is not a whole number",)),
        (
            ("run", "table1", "--set", "recipe.epochs=0"),
            ("pretrain: recipe.epochs is 0; allowed",),
        ),
        (("run", "table1", "--set", "epochs=3"), ("is not of the form",)),
        (("run", "table1", "--set", "finetune=ownn"), ("'ownn'. Did you mean 'own'? Known: own.",)),
        (("run", "table1", "--set", "training.recipe.epochs=3"), ("No phase 'training'",)),
        (("run", "table1", "--set", "recipe.optimizer=adamx"), ("'adamx' is not 'adamw' or",)),
        (
            ("run", "table1", "--set", "pretrain.method.mask_ratio=0.8"),
            ("mask_ratio 0.8 + throw_ratio", "together below 1"),
        ),
        (("run", "table1", "--seeds", "0,0"), ("names a seed twice",)),
        (("run", "table1", "--seeds", "4-2"), ("the range '4-2' is empty",)),
        (("run", "table1", "--seeds", "one"), ("is not a seed",)),
        (("run", "table1", "--format", "pdf"), ("no format 'pdf'; known: md, tex, json, csv",)),
        (("report", "table1", "--rows", ","), ("give at least one name",)),
        (("data", "prepare", "btdm"), ("No data set 'btdm'. Did you mean 'btmd'?",)),
        (("data", "prepare", "btmd"), ("needs its official archive", "--from ARCHIVE")),
        (("data", "prepare", "btmd", "--from", "no.zip"), ("There is nothing at no.zip",)),
        (("data", "prepare", "phantom", "--from", "x"), ("leave out --from",)),
        (("data", "verify", "btmd"), ("'btmd' is not prepared", "harness data prepare btmd")),
        (("fly",), ("invalid choice: 'fly'",)),
    ],
    ids=lambda value: " ".join(value[:4]) if isinstance(value, tuple) else None,
)
def test_bad_input(harness: Harness, arguments: tuple[str, ...], parts: tuple[str, ...]) -> None:
    refused(harness(*arguments), *parts)
    assert not Path("runs").exists()


def test_all_missing_data_are_named_before_any_training(harness: Harness) -> None:
    refused(
        harness("run", "table1", "--profile", "laptop"),
        "Not prepared under data: messidor2, btmd, ham10000",
        "harness data prepare messidor2 --from ARCHIVE",
        "harness data prepare btmd --from ARCHIVE",
        "harness data prepare ham10000 --from ARCHIVE",
    )
    assert not Path("runs").exists()


def test_sizes_that_do_not_fit_are_refused_before_any_training(harness: Harness) -> None:
    refused(
        harness("run", "table1", *QUICK, "--set", "supervised.recipe.batch_size=9999"),
        "supervised.recipe.batch_size is 9999, but phantom-mri has",
    )
    assert not Path("runs").exists()


RIVALS = """
from harness.methods.baselines import contrastivecrop, mocov3, simclr, simmim, supervised
from harness.spec.table import Column, Row, Table

METHODS = (contrastivecrop, mocov3, simclr, simmim)
ROWS = [Row(name=m.__name__.split(".")[-1], label="", stages=m.stages()) for m in METHODS]
RESNET = Row(name="resnet50", label="", stages=supervised.resnet())
COLUMNS = (Column(dataset="phantom-mri"),)
EXPERIMENT = Table(title="Rivals", source="", columns=COLUMNS, rows=(*ROWS, RESNET))
"""
RIVALS_PLAN = ("plan", "rivals.py", "--profile", "smoke")  # 256 images at 32 px, batch 32


@pytest.mark.parametrize(
    ("row", "settings", "parts"),
    [
        ("mocov3", "pretrain.recipe.batch_size=1", ("recipe.batch_size is 1", "at least 2")),
        ("simclr", "pretrain.recipe.batch_size=1", ("recipe.batch_size is 1", "at least 2")),
        ("simclr", "finetune.recipe.batch_size=1", ("'simclr', finetune on phantom", "BatchNorm")),
        ("resnet50", "supervised.recipe.batch_size=1", ("recipe.batch_size is 1", "BatchNorm")),
        ("contrastivecrop", "pretrain.recipe.batch_size=1", ("leaves one image alone",)),
        (
            "contrastivecrop",
            "pretrain.recipe.batch_size=33 pretrain.method.queue=33",
            ("batch_size is 33, which leaves one image alone in groups of 32 (method.split)",),
        ),
        (
            "contrastivecrop",
            "pretrain.recipe.batch_size=9 method.split=4",
            ("in groups of 4 (method.split)", "not one more than a multiple of 4"),
        ),
        (
            "contrastivecrop",
            "method.queue=100",
            (
                "Row 'contrastivecrop', pretrain on phantom-mri: method.queue 100 is not a multiple"
                " of the batch 32; allowed: multiples of 32, for instance method.queue=96.",
            ),
        ),
        ("contrastivecrop", "method.queue=16", ("queue 16 is not a multiple", "method.queue=32")),
        (
            "contrastivecrop",
            "method.queue=-32",
            ("pretrain: contrastivecrop.queue is -32; allowed",),
        ),
        (
            "contrastivecrop",
            "pretrain.recipe.batch_size=48",
            (
                "method.queue 256, the largest power of two up to 256 images, is not a multiple of"
                " the batch 48; allowed: multiples of 48, for instance method.queue=240.",
            ),
        ),
        ("simmim", "method.blocks=3", ("method.blocks is 3", "grid of 16", "2, 4, 8, 16.")),
        ("simmim", "method.blocks=0", ("simmim.blocks is 0; allowed",)),
        (
            "simmim",
            "method.blocks=2 method.mask_ratio=0.8",
            ("method.mask_ratio is 0.8, which masks all of 2 x 2 blocks", "choose at most 0.75"),
        ),
        ("simclr", "method.temperature=0", ("temperature is 0.0; allowed: a number from 0.001",)),
        ("mocov3", "method.temperature=-1", ("temperature is -1.0",)),
        ("contrastivecrop", "method.temperature=0", ("temperature is 0.0",)),
        (
            "contrastivecrop",
            "method.momentum=1.5",
            ("momentum is 1.5; allowed: a number from 0 to 1 or none",),
        ),
        ("simmim", "finetune.method.mixup=-1", ("mixup is -1.0; allowed",)),
        ("simclr", "finetune.method.cutmix=-1", ("cutmix is -1.0; allowed",)),
        ("mocov3", "finetune.method.label_smoothing=2", ("label_smoothing is 2.0; allowed",)),
    ],
)
@pytest.mark.parametrize("command", ["plan", "run"])
def test_settings_that_cannot_work_together_are_refused_before_any_training(
    harness: Harness, command: str, row: str, settings: str, parts: tuple[str, ...]
) -> None:
    Path("rivals.py").write_text(RIVALS)
    changes = [word for setting in settings.split() for word in ("--set", setting)]
    refused(harness(command, *RIVALS_PLAN[1:], "--rows", row, *changes), *parts)
    assert not Path("runs").exists()
    assert not Path("reports").exists()


def test_settings_that_just_work_together_are_planned(harness: Harness) -> None:
    Path("rivals.py").write_text(RIVALS)
    assert harness(*RIVALS_PLAN)[0] == 0
    for batch, queue in ((2, 2), (34, 68), (48, 240), (64, 64)):
        sets = (f"pretrain.recipe.batch_size={batch}", f"method.queue={queue}")
        changes = [word for setting in sets for word in ("--set", setting)]
        code, _, err = harness(*RIVALS_PLAN, "--rows", "contrastivecrop", *changes)
        assert code == 0, err


def test_a_frozen_encoder_needs_no_second_image(harness: Harness) -> None:
    own = ("--set", "finetune=own", "--set", "finetune.recipe.batch_size=1")
    chosen = ("--profile", "smoke", "--datasets", "phantom-mri", "--rows")
    assert harness("plan", "table1", *chosen, "contrastivecrop", *own)[0] == 0
    refused(harness("plan", "table1", *chosen, "simclr", *own), "recipe.batch_size is 1")


@pytest.mark.slow
def test_planning_imports_no_model_library(tmp_path: Path) -> None:
    (tmp_path / "rivals.py").write_text(RIVALS)
    program = (
        "import sys\nfrom harness.cli.main import main\ncode = main(sys.argv[1:])\n"
        "heavy = {'timm', 'lightly', 'torchvision', 'mlflow', 'mmseg'}\n"
        "print(sorted(heavy & sys.modules.keys()), file=sys.stderr)\nsys.exit(code)\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program, *RIVALS_PLAN],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr.strip() == "[]"


def test_image_sizes_that_the_patch_does_not_divide_are_refused() -> None:
    from dataclasses import replace

    from harness.errors import UserError
    from harness.spec import profiles

    for size in (30, 225):
        with pytest.raises(UserError, match=f"Image size {size} is not a multiple of the vit"):
            replace(profiles.SMOKE.backbones, image_size=size)
    with pytest.raises(UserError, match="image_size is 0; allowed: a whole number from 1 to 4096"):
        replace(profiles.SMOKE.backbones, image_size=0)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder where one stage was trained; tests get copies of it."""
    folder = tmp_path_factory.mktemp("trained")
    prepared.ensure(folder / "data")
    with chdir(folder), redirect_stdout(io.StringIO()) as out:
        assert main(["run", "table1", *QUICK]) == 0
    assert "1 stage trained, 0 found done, 0 failed" in out.getvalue()
    return folder


@pytest.fixture
def ran(trained: Path, own_folder: Path, harness: Harness) -> Harness:
    """Return the command in a folder where one stage was trained."""
    shutil.copytree(trained, own_folder, dirs_exist_ok=True)
    return harness


def test_running_again_trains_nothing(ran: Harness) -> None:
    record = next(Path("runs/records").iterdir())
    before = record.read_bytes()
    code, out, _ = ran("run", "table1", *QUICK)
    assert code == 0
    assert "0 stages trained, 1 found done" in out
    assert record.read_bytes() == before


def test_the_first_line_says_which_profile_and_why(ran: Harness) -> None:
    _, out, _ = ran("plan", "table1", "--datasets", "phantom-mri", "--rows", "resnet50")
    first = out.splitlines()[0]
    assert first.startswith(("Profile 'smoke': this machine has no CUDA", "Profile 'paper': this"))
    _, out, _ = ran("plan", "table1", "--profile", "smoke", "--datasets", "phantom-mri")
    assert out.splitlines()[0] == "Profile 'smoke': chosen with --profile."


def test_reports_come_from_the_records_alone(ran: Harness) -> None:
    selection = [a for a in QUICK if a not in ("--track", "off")]
    code, out, _ = ran(
        "report", "table1", *selection, "--format", "md,tex,json,csv", *AS_TABLE1, "--out", "t"
    )
    assert code == 0
    made = ["records.jsonl.gz", *(f"table1.{e}" for e in SORTED_ENDINGS)]
    assert sorted(p.name for p in Path("t").iterdir()) == made
    assert "ResNet50" in out
    content = json.loads(Path("t/table1.json").read_text())
    assert content["rows"][0]["cells"]["phantom-mri"]["state"] == "complete"
    # Where files lie makes no number, and a machine's paths are nobody's business.
    assert content["context"]["command"].startswith("harness report table1 --profile smoke")
    assert "--out" not in content["context"]["command"]


AS_TABLE1 = ("--name", "table1")
"""A part of a table has files of its own unless it is named."""

SORTED_ENDINGS = ("csv", "json", "md", "tex")


def test_a_damaged_record_is_named_set_aside_and_made_anew(ran: Harness) -> None:
    record = next(Path("runs/records").iterdir())
    content = record.read_text()
    record.write_text(content[: len(content) // 2])
    code, out, err = ran("report", "table1", *(w for w in QUICK if w not in ("--track", "off")))
    assert code == 0
    assert f"The record {record} cannot be read (truncated?)" in err and "fresh" not in err
    code, out, err = ran("run", "table1", *QUICK)
    assert code == 0
    assert f"kept as {record}.damaged" in err
    assert "1 stage trained" in out
    assert Path(f"{record}.damaged").read_text() == content[: len(content) // 2]
    later = json.loads(record.read_text()) | {"format": 99}
    record.write_bytes(sealed.seal(later))
    refused(ran("run", "table1", *QUICK), "has format 99", "a later version of the harness")


@pytest.mark.slow
def test_truncated_weights_and_checkpoints_are_named(harness: Harness) -> None:
    rows = [a if a != "resnet50" else "mae" for a in QUICK]
    assert harness("run", "table1", *rows)[0] == 0
    pretrained = json.loads(harness("plan", "table1", *rows[:6], *rows[8:], "--json")[1])
    first, second = (stage["key"] for stage in pretrained["stages"])
    weights = Path(f"runs/weights/{first}.safetensors")
    weights.write_bytes(weights.read_bytes()[:1000])
    record = Path(f"runs/records/{second}.json")
    record.unlink()
    code, _, err = harness("run", "table1", *rows)
    assert code == 0
    assert f"{weights} of final weights is not the one that the record names" in err
    assert "its stage is trained again" in err
    record.unlink()
    state = Path(f"runs/checkpoints/{second}.pt")
    for content in (b"half a checkpoint", b"PK half a checkpoint"):
        state.write_bytes(content)
        code, _, err = harness("run", "table1", *rows)
        assert code == 0
        assert str(state) in err and f"kept as {state.name}.damaged" in err
        record.unlink()


def test_records_of_other_sources_are_marked(ran: Harness) -> None:
    record = next(Path("runs/records").iterdir())
    content = json.loads(record.read_text())
    content["provenance"]["sources"] = "0" * 64
    record.write_bytes(sealed.seal(content))
    code, out, _ = ran("run", "table1", *QUICK)
    assert code == 0
    assert "0 stages trained, 1 found done" in out
    assert "† made by other sources than the present ones; --fresh" in out
    assert "†" not in ran("run", "table1", *QUICK, "--fresh")[1]


def test_the_clean_split_selects_on_one_part_and_reports_on_another(harness: Harness) -> None:
    code, _, err = harness(
        "run", "table1", *QUICK, "--split", "clean", "--rule", "best", *AS_TABLE1
    )
    assert code == 0, err
    (record,) = (json.loads(p.read_text()) for p in Path("runs/records").iterdir())
    assert record["definition"]["split"] == "clean"
    assert "validation/accuracy" in record["result"]["history"][0]
    text = Path("reports/smoke/table1.md").read_text()
    assert "the best epoch on the validation part" in text
    assert "reported on the test part" in text


def test_a_store_that_was_changed_is_not_trained_on(ran: Harness) -> None:
    path = Path("data/phantom-mri/images.npy")
    content = bytearray(path.read_bytes())
    content[-1] ^= 255
    path.write_bytes(content)
    code, out, err = ran("run", "table1", *QUICK, "--fresh")
    assert code == 1
    assert "0 stages trained, 0 found done, 1 failed" in out
    assert "images.npy has changed since it was prepared" in err
    assert "harness data prepare phantom-mri" in err
    code, _, err = ran("data", "verify", "phantom-mri")
    assert code == 1
    assert "images.npy has changed" in err


def test_failed_runs_are_shown_and_the_rest_goes_on(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A rate beyond what can be planned, so that both losses leave the range of their numbers.
    monkeypatch.setattr("harness.train.steps.learning_rate", lambda recipe, time: 1e38)
    rows = [a if a != "resnet50" else "resnet50,swin" for a in QUICK]
    code, out, err = harness("run", "table1", *rows)
    assert code == 1
    assert "DivergedError" in err
    assert "at epoch 0, step" in err
    assert "failed" in out
    records = [json.loads(p.read_text()) for p in Path("runs/records").iterdir()]
    assert {r["status"] for r in records} == {"failed"}
    assert len(records) == 2


def test_folders_that_cannot_be_written(harness: Harness, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    refused(harness("run", "table1", *QUICK, "--runs", "file/runs"), "cannot use file/runs")
    refused(harness("run", "table1", *QUICK, "--data", "file/data"), "file/data")
    refused(harness("run", "table1", *QUICK, "--out", "file/out"), "Cannot write", "file/out")
    code, out, _ = harness("run", "table1", *QUICK)
    assert code == 0
    assert "0 stages trained, 1 found done" in out  # nothing was lost


@pytest.mark.slow
@pytest.mark.parametrize("limit", [2_000, 60_000])
def test_a_full_disk_is_one_line_and_nothing_is_lost(tmp_path: Path, limit: int) -> None:
    """A limit on the size of files stands for a full disk: writes fail in the middle."""
    command = [sys.executable, "-m", "harness", "run", "table1", *QUICK]
    tight = subprocess.run(
        command,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )
    assert tight.returncode == 2, tight.stderr
    assert "Traceback" not in tight.stderr
    assert "Cannot write" in tight.stderr
    left = [p for p in tmp_path.rglob("*") if p.name.startswith(".") and p.suffix == ".pt"]
    assert left == []
    wide = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert wide.returncode == 0, wide.stderr


def test_plan_names_shared_stages(harness: Harness) -> None:
    code, out, _ = harness("plan", "table1", "--profile", "smoke", "--datasets", "phantom-mri")
    assert code == 0
    assert "unique stage" in out
    assert not Path("runs").exists()


def _planned(harness: Harness, *arguments: str) -> dict[str, Any]:
    options = ("--profile", "smoke", "--datasets", "phantom-mri", "--json")
    code, out, err = harness("plan", *arguments, *options)
    assert code == 0, err
    facts: dict[str, Any] = json.loads(out)
    return facts


def test_plans_of_several_experiments_count_shared_stages_once(harness: Harness) -> None:
    """By hand, of 256 images: 60 epochs pre-train, 20 fine-tune, 60 supervise (80 of controls).

    table1: seven pre-trainings with a fine-tuning each and three classifiers, 7 + 7 + 3 stages.
    controls: 8 pre-trainings, 16 fine-tunings, 1 classifier. table3: 3 and 6, and two each of the
    released code. Of table1's stages 6 (MAE, AMT, MSMAE) are in both others; of table3's 9 are in
    controls.
    """
    facts = _planned(harness, "table1", "controls", "table3")
    own = {each["experiment"]: each for each in facts["experiments"]}
    counts = ("runs", "naive_trainings", "unique_stages", "images_times_epochs_missing")
    assert {name: [each[count] for count in counts] for name, each in own.items()} == {
        "table1": [10, 17, 17, 256 * (7 * 60 + 7 * 20 + 3 * 60)],
        "controls": [17, 33, 25, 256 * (8 * 60 + 16 * 20 + 80)],
        "table3": [8, 16, 13, 256 * (5 * 60 + 8 * 20)],
    }
    assert [facts[count] for count in counts] == [
        10 + 17 + 8,
        17 + 33 + 16,
        17 + (25 - 6) + (13 - 9),
        256 * (14 * 60 + 22 * 20 + 3 * 60 + 80),
    ]
    assert facts["shared_stages"] == 9
    users = [stage["used_by"] for stage in facts["stages"]]
    assert len(users) == 40
    assert ["table1:msmae", "controls:sam-0.1-sam", "table3:sam-sam"] in users
    assert [
        "table1:mae",
        *("controls:random-0-plain", "controls:random-0-sam"),
        *("table3:random-plain", "table3:random-sam"),
    ] in users
    assert ["table1:resnet50"] in users


def test_plans_of_several_experiments_as_text(harness: Harness) -> None:
    options = ("--profile", "smoke", "--datasets", "phantom-mri")
    code, out, _ = harness("plan", "table1", "controls", *options, "--rows", "mae,random-0-plain")
    assert code == 0
    _, *stages, first, second, together, shared = out.splitlines()
    assert len(stages) == 2
    for line in stages:
        assert line.endswith("  <- table1:mae, controls:random-0-plain")
    assert first.startswith("table1: 1 run, 2 trainings if nothing were shared, 2 unique stages")
    assert second.startswith("controls: 1 run, 2 trainings")
    assert together == (
        "Together: 2 runs, 4 trainings if nothing were shared, 2 unique stages, 0 done, 2 missing:"
        f" {256 * (60 + 20)} images x epochs."
    )
    assert shared == "2 stages are shared between experiments."
    _, alone, *_ = harness("plan", "table1", *options, "--rows", "mae")[1].splitlines()
    assert alone.endswith("  <- mae")


def test_options_of_a_plan_need_to_fit_one_of_several_experiments(harness: Harness) -> None:
    both = ("plan", "table1", "table3", "--profile", "smoke", "--datasets", "phantom-mri")
    facts = _planned(
        harness,
        *("table1", "table3", "--rows", "vit"),
        *("--set", "supervised.recipe.epochs=2", "--set", "supervised.recipe.warmup_epochs=1"),
    )
    assert [each["runs"] for each in facts["experiments"]] == [1, 0]
    assert facts["images_times_epochs_missing"] == 256 * 2
    refused(harness(*both, "--rows", "vti"), "No row 'vti'. Did you mean 'vit'?", "sam-sam")
    refused(harness(*both, "--set", "recipe.epoch=3"), "'epoch'. Did you mean 'epochs'?")
    refused(harness("plan", "table1", "table1", "--profile", "smoke"), "give each once")
    refused(harness("run", "table1", "table3"), "unrecognized arguments: table3")


def test_doctor_tells_versions_and_data(harness: Harness) -> None:
    code, out, _ = harness("doctor")
    assert code == 0
    assert "torch" in out
    assert "not prepared" in out


def test_data_list_prepare_and_verify(harness: Harness) -> None:
    shutil.rmtree("data")
    assert harness("data", "list")[1].count("not prepared") >= 8
    code, out, _ = harness("data", "prepare", "phantom", "--size", "32")
    assert code == 0
    assert out.count("32 px, fingerprint") == 4
    code, out, _ = harness("data", "verify", "phantom")
    assert code == 0
    assert out.count("verified") == 4


@pytest.mark.parametrize("lost", ["images.npy", "manifest.json", "blocks.json"])
def test_both_checks_of_data_have_one_exit_code_for_damage(harness: Harness, lost: str) -> None:
    for spoil in (Path.unlink, lambda path: path.write_bytes(path.read_bytes()[:-3])):
        shutil.rmtree("data")
        prepared.ensure(Path("data"))
        spoil(Path("data/phantom-mri") / lost)
        for words in (("data", "verify", "phantom-mri"), ("verify",)):
            code, out, err = harness(*words)
            assert code == 1, (words, out, err)
            assert lost in out + err
    # A name that does not exist, and data that are not prepared, are no damage.
    assert harness("data", "verify", "nothing")[0] == 2
    assert harness("data", "verify", "btmd")[0] == 2


def test_an_interrupted_run_tells_the_command_that_goes_on(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARNESS_RUNS", "my runs")
    options = ("run", "table1", "--datasets", "phantom-mri", "--rows", "vit", "--track", "off")
    words = (*options, "--fresh", "--set", "recipe.epochs=3", "--set", "recipe.warmup_epochs=0")
    real = Checkpoints.save

    def save(self: Checkpoints, state: dict[str, Any], *, always: bool = False) -> bool:
        real(self, state, always=True)
        raise Stopped(signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoints, "save", save)
        assert harness(*words)[0] == 143
    (told,) = json.loads(harness("status", "--json")[1])["interrupted"]
    assert told["title"] == "supervised vit / phantom-mri / seed 0"
    assert (told["epoch"], told["epochs"]) == (1, 3)
    command = shlex.split(told["command"])
    profile = "paper" if torch.cuda.is_available() else "smoke"
    expected = [w for w in words if w != "--fresh"]
    assert command == ["harness", *expected, "--profile", profile, "--runs", "my runs"]
    monkeypatch.delenv("HARNESS_RUNS")
    code, _, err = harness(*command[1:])
    assert code == 0
    assert "[1/1] supervised vit / phantom-mri / seed 0: goes on at epoch 2\n" in err
    assert json.loads(harness("status", "--runs", "my runs", "--json")[1])["interrupted"] == []


def test_a_password_is_not_part_of_the_command_that_goes_on() -> None:
    words = ("sweep", "s", "--storage", "postgresql://me:secret@host/db", "--profile", "smoke")
    args = argparse.Namespace(words=words, profile="smoke", data=Path("data"), runs=Path("runs"))
    assert resuming_command(args) == "harness sweep s --profile smoke --storage ..."
