"""``harness export`` and ``--init``: an encoder leaves for timm and starts another table."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import safetensors.torch
import timm
import torch
from torch import Tensor

from harness.augment.view import MEAN, STD
from harness.check.handed import Handed
from harness.cli.export import with_kind
from harness.cli.export_weights import FORMATS
from harness.execute.execution import ExecutionOptions
from harness.execute.stage import Trainer
from harness.methods.msmae.method import MaskedAutoencoder
from harness.plan import catalog, plan
from harness.plan.options import Options
from harness.plan.plan import Plan
from harness.spec import profiles
from harness.spec.weights import Weights
from harness.store import weights
from harness.store.record import Record, Records
from harness.train.task import Task
from tests import plans, prepared, snippets
from tests.conftest import Harness

ONE = [word for text in plans.ONE_EPOCH for word in ("--set", text)]
SMOKE = ("--profile", "smoke", *ONE)
RUN = (*SMOKE, "--datasets", "phantom-mri", "--track", "off")
EXPORT = (*SMOKE, "--dataset", "phantom-mri")


def _first(made: Plan) -> Task:
    """Return the task of a plan's first stage at step 0."""
    trainer = Trainer(made.options, torch.device("cpu"), ExecutionOptions())
    step = made.stage_runs[0]
    return trainer._task(step, Handed(step.stage.method, made.options.profile.backbones), 256)


def _plan(table: str, row: str, init: Path | None) -> Plan:
    options = Options(
        profile=profiles.SMOKE,
        datasets=("phantom-mri",),
        rows=(row,),
        init=None if init is None else Weights(str(init)),
    )
    return plan.make(*catalog.load(table), options)


def _check_that_other_sources_are_told(harness: Harness, record: Record) -> None:
    """Check the command and the card of an encoder that is older than its sources."""
    store = Records(Path("runs"))
    older = replace(record, provenance=replace(record.provenance, sources="0" * 64))
    store.write(older)
    code, _, err = harness("export", "table1/mae", *EXPORT, "--to", "old")
    store.write(record)
    assert code == 0 and "Other sources than the present ones made it" in err
    assert "* Other sources than the present ones made it" in Path("old/README.md").read_text()


@pytest.mark.slow
def test_an_exported_encoder_loads_into_timm_and_starts_another_table(
    harness: Harness, own_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared.ensure(own_folder / "data")
    assert harness("run", "table1", "--rows", "mae", *RUN, "--probes")[0] == 0
    code, out, err = harness("export", "table1/mae", *EXPORT, "--to", "mae")
    assert code == 0, err
    assert "local-dir:mae" in out
    model = timm.create_model(f"local-dir:{own_folder}/mae", pretrained=True)
    (record,) = [r for r in _records() if len(r.definition["stages"]) == 1]
    trained = weights.load(Path("runs"), record.key, record.finished.weights)
    state = model.state_dict()
    assert state and all(torch.equal(v, trained[f"encoder.{n}"]) for n, v in state.items())

    card = Path("mae/README.md").read_text()
    for part in (record.key, record.definition["data"], "CC0", "accuracy", "on 128 images"):
        assert part in card
    assert "seed 0" in card and "0.485" in card and "32 x 32 px" in card

    # The card says what probes read only where it is what the exported encoder returns.
    assert "linear probe of the mean of the patch tokens after the final norm: accuracy" in card
    with monkeypatch.context() as patch:
        patch.setattr(MaskedAutoencoder, "features", lambda t, x: t.encoder(x)[:, 1:].mean(1))
        assert harness("export", "table1/mae", *EXPORT, "--to", "other")[0] == 0
    card = Path("other/README.md").read_text()
    assert "linear probe of the frozen encoder" in card
    assert "measured on the method's own features, which differ from these" in card

    assert "Other sources" not in card + err
    _check_that_other_sources_are_told(harness, record)
    _check_the_python_of_each_format(harness, trained)

    # By the beginning of its key, to the same content; over anything else only when told to.
    assert harness("export", record.key[:10], "--to", "key", "--format", "hf")[0] == 0
    same = [Path(f, "model.safetensors").read_bytes() for f in ("mae", "key")]
    assert same[0] == same[1]
    assert "features, which were not compared with these" in Path("key/README.md").read_text()
    config = json.loads(Path("key/config.json").read_text())
    assert config["architecture"] == "vit_base_patch16_224"
    assert Path("key/README.md").read_text().startswith("---\nlibrary_name: timm\n")
    refused = harness("export", f"{record.key}", "--to", "mae", "--format", "torch")
    assert refused[0] == 2 and "has other content" in refused[2] and "--force" in refused[2]
    assert not Path("mae/model.pth").exists()

    # It starts the rows of another table: the encoder is its, heads are drawn as without it.
    file = own_folder / "mae" / "model.safetensors"
    started, plain = _plan("controls", "sam-0-plain", file), _plan("controls", "sam-0-plain", None)
    assert started.stage_runs[0].key != plain.stage_runs[0].key
    task, drawn = _first(started), _first(plain).state_dict()
    for name, value in task.state_dict().items():
        if name.startswith("encoder."):
            assert torch.equal(value, trained[name]), name
        elif isinstance(value, torch.Tensor):
            assert torch.equal(value, drawn[name]), name
    assert any("30 of the encoder's 30" in note for note in started.table.notes)

    code, out, err = harness(
        "run", "table1", "--rows", "vit", *RUN, "--init", "mae/model.safetensors"
    )
    assert code == 0 and "Row 'vit' starts from mae/model.safetensors" in err, err
    assert "init=sha256:" in out
    assert harness("plan", "table1", "--rows", "vit", *RUN[:-2])[1].count("missing ") == 1

    Path("runs/weights", f"{record.key}.safetensors").unlink()
    code, _, err = harness("export", record.key[:10], "--to", "again")
    assert code == 2 and "were not kept" in err and "harness run" in err
    assert not Path("again").exists()


def _check_the_python_of_each_format(harness: Harness, trained: Mapping[str, Tensor]) -> None:
    """The card's Python runs in its folder and gives the trained task's features."""
    task = _first(_plan("table1", "mae", None))
    task.load_state_dict(dict(trained), strict=False)
    for kind in FORMATS:
        assert harness("export", "table1/mae", *EXPORT, "--to", kind, "--format", kind)[0] == 0
        image = snippets.squashed(snippets.picture(Path(kind)), 32, MEAN, STD)
        with torch.no_grad():
            expected = task.eval().features(image)
        found = snippets.run(Path(kind))["features"]
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def _records() -> list[Record]:
    records = Records(Path("runs"))
    found = [records.read(path.stem) for path in sorted(Path("runs/records").glob("*.json"))]
    return [record for record in found if record is not None]


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (("xyz", "--to", "a"), ("'xyz' is no key", "table1/mae")),
        (("abcd1234", "--to", "a"), ("names no stage",)),
        (("abcd1234", "--to", "a", "--profile", "smoke"), ("--profile selects", "TABLE/ROW")),
        (("table1/mea", "--to", "a", *EXPORT), ("No row 'mea'", "mae")),
        (("table1/mae", "--to", "a", *EXPORT), ("no finished run", "harness run table1")),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_what_cannot_be_exported_is_one_line(
    harness: Harness, own_folder: Path, words: tuple[str, ...], parts: tuple[str, ...]
) -> None:
    prepared.ensure(own_folder / "data")
    code, _, err = harness("export", *words)
    assert code == 2, err
    assert all(part in err for part in parts), err
    assert err.strip().count("\n") == 0 and "Traceback" not in err
    assert not Path("a").exists()


@pytest.mark.parametrize("table", ["teach", "folder/teach"])
def test_an_own_table_without_its_ending_is_told_its_path(harness: Harness, table: str) -> None:
    Path("folder").mkdir()
    Path(f"{table}.py").write_text("raise SystemExit('executed')")
    code, _, err = harness("export", f"{table}/mine.finetune", "--to", "a")
    assert code == 2 and err.strip().endswith(f"give its path: {table}.py/mine.finetune."), err


def test_weights_are_what_is_exported_where_no_kind_is_named() -> None:
    assert with_kind(["export", "abcd", "--to", "x"]) == ["export", "weights", "abcd", "--to", "x"]
    for words in (["export", "weights", "abcd"], ["export", "--help"], ["run", "export"], []):
        assert with_kind(words) == words


@pytest.mark.parametrize(
    ("text", "part"),
    [("none.pth", "There is no file of weights none.pth"), ("a.txt", "allowed endings")],
)
def test_init_without_weights_is_one_line(
    harness: Harness, own_folder: Path, text: str, part: str
) -> None:
    prepared.ensure(own_folder / "data")
    code, _, err = harness("plan", "table1", "--rows", "vit", *RUN[:-2], "--init", text)
    assert code == 2 and "--init: " in err and part in err


def test_init_of_files_that_do_not_fit_says_which_file_tensor_and_rows(
    harness: Harness, own_folder: Path
) -> None:
    prepared.ensure(own_folder / "data")
    state = _first(_plan("table1", "mae", None)).state_dict()
    good = {n[8:]: v.clone() for n, v in state.items() if n.startswith("encoder.")}
    Path("out").mkdir()
    torch.save(good, "out/model.pth")
    words = ("plan", "table1", *RUN[:-2], "--rows")
    code, _, err = harness(*words, "vit", "--init", "out")  # the file in an exported folder
    assert code == 0 and "Row 'vit' starts from out/model.pth" in err, err
    safetensors.torch.save_file(good, "out/model.safetensors")
    code, _, err = harness(*words, "vit", "--init", "out")
    assert code == 0 and "Row 'vit' starts from out/model.safetensors" in err, err
    code, _, err = harness(*words, "vit", "--init", "data")
    assert code == 2 and "data is a folder without model.safetensors or model.pth" in err

    code, _, err = harness(*words, "vit,resnet50", "--init", "out")
    assert code == 2 and "Row 'resnet50' cannot start from out/model.safetensors" in err, err
    assert "(resnet50, vit); --rows selects those that the weights fit" in err
    code, _, err = harness(*words, "resnet50", "--init", "out")
    assert code == 2 and "--rows" not in err

    name = "blocks.0.attn.proj.weight"
    for bad, part in (
        (torch.full_like(good[name], float("nan")), "numbers that are not finite"),
        (good[name].to_sparse(), "is not dense"),
        (good[name].long(), "holds int64 numbers"),
    ):
        torch.save({**good, name: bad}, "bad.pth")
        code, _, err = harness(*words, "vit", "--init", "bad.pth")
        assert code == 2 and f"cannot start from bad.pth: the file's {name} " in err, err
        assert part in err and err.strip().count("\n") == 0


def test_rows_of_weights_that_nobody_named_are_planned_as_not_run(
    harness: Harness, own_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared.ensure(own_folder / "data")
    words = ("plan", "controls", "--profile", "smoke", "--datasets", "phantom-mri")
    code, out, err = harness(*words)
    assert code == 0 and "started-mae" not in out
    assert "Row 'started-mae' of controls is not run: set HARNESS_START_VIT" in err
    code, _, err = harness(*words, "--rows", "started-plain")
    assert code == 2 and "set HARNESS_START_VIT to a file" in err
    monkeypatch.setenv("HARNESS_START_VIT", "none.pth")
    code, _, err = harness(*words, "--rows", "started-plain")
    assert code == 2 and "There is no file of weights none.pth" in err
