"""Starting from given weights: what is matched, left, interpolated and refused."""

from __future__ import annotations

import argparse
import pickle
import re
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import Tensor

from harness.api import MAE, ContrastiveCrop, Finetune, MoCoV3, SimMIM, Swin
from harness.errors import UserError
from harness.spec import profiles
from harness.spec.backbones import VIT
from harness.spec.recipe import Method
from harness.train import pretrained, sound, start, weight_files
from harness.train.task import Task, start_task
from tests import tiny

SMOKE = profiles.SMOKE.backbones


def _task(method: Method, image_size: int = 32, stream: str = "a") -> Task:
    backbones = profiles.SMOKE.backbones
    if image_size != 32:
        backbones = type(backbones)(image_size=image_size, given={"vit": VIT.sizes["smoke"]})
    return start_task(method, tiny.dataset(), backbones, stream=stream, weights=None)


def _state(task: Task) -> dict[str, Tensor]:
    """Return the tensors of a task; attention maps are none."""
    state = task.state_dict().items()
    return {name: value.clone() for name, value in state if isinstance(value, Tensor)}


def _encoder(task: Task) -> dict[str, Tensor]:
    return {n.removeprefix("encoder."): v for n, v in _state(task).items() if n[:8] == "encoder."}


@pytest.mark.parametrize("prefix", ["", "module.", "encoder.", "module.base_encoder."])
def test_prefixes_of_training_codes_are_taken_off(prefix: str) -> None:
    other, task = _encoder(_task(MAE(), stream="b")), _task(MAE())
    fit = start.start(task, {prefix + name: value for name, value in other.items()})
    assert len(fit.taken) == fit.total and not fit.left and not fit.drawn
    for name, value in _encoder(task).items():
        assert torch.equal(value, other[name]), name


def test_heads_and_decoders_stay_as_they_were_drawn() -> None:
    file = _state(_task(MAE(), stream="b"))
    drawn, task = _state(_task(Finetune())), _task(Finetune())
    fit = start.start(task, file)
    for name, value in task.state_dict().items():
        if isinstance(value, Tensor) and not name.startswith("encoder."):
            assert torch.equal(value, drawn[name]), name
    assert {"encoder.norm.weight", "decoder.mask_token"} <= set(fit.left)
    assert "28 of the encoder's 28 tensors are the file's; left in the file:" in fit.line


def test_a_classifiers_last_layer_is_never_taken() -> None:
    drawn, task = _state(_task(Swin())), _task(Swin())
    fit = start.start(task, _encoder(_task(Swin(), stream="b")))
    assert fit.drawn == ("head.fc.weight", "head.fc.bias")
    assert torch.equal(task.state_dict()["encoder.head.fc.weight"], drawn["encoder.head.fc.weight"])


@pytest.mark.parametrize(
    ("method", "copy"), [(MoCoV3(), "momentum_encoder"), (ContrastiveCrop(), "key_encoder")]
)
def test_momentum_encoders_begin_as_their_encoder(method: Method, copy: str) -> None:
    other, task = _encoder(_task(method, stream="b")), _task(method)
    start.start(task, other)
    state = task.state_dict()
    for name, value in other.items():
        assert torch.equal(state[f"encoder.{name}"], value)
        assert torch.equal(state[f"{copy}.{name}"], value)


def test_positions_are_interpolated_to_another_image_size_and_it_is_said() -> None:
    file, task = _encoder(_task(MAE(), image_size=48)), _task(MAE())
    fit = start.start(task, file)
    assert "position embeddings are interpolated from 12 x 12 to 8 x 8" in fit.line
    given, taken = file["pos_embed"], _encoder(task)["pos_embed"]
    assert torch.equal(taken[:, :1], given[:, :1])
    # Resizing a smooth table moves it little: sines and cosines of half the frequency remain.
    grid = given[:, 1:].reshape(12, 12, -1).permute(2, 0, 1)[None]
    expected = torch.nn.functional.interpolate(grid, size=(8, 8), mode="bicubic", antialias=True)
    torch.testing.assert_close(taken[:, 1:], expected[0].permute(1, 2, 0).reshape(1, 64, -1))


def test_swins_own_names_of_patch_merging_are_understood() -> None:
    other, task = _encoder(_task(SimMIM(), stream="b")), _task(SimMIM())
    official = {
        re.sub(
            r"layers\.(\d)\.downsample", lambda m: f"layers.{int(m[1]) - 1}.downsample", name
        ): value
        for name, value in other.items()
    }
    assert official.keys() != other.keys()
    fit = start.start(task, {"model." + name: value for name, value in official.items()})
    assert len(fit.taken) == fit.total
    for name, value in _encoder(task).items():
        assert torch.equal(value, other[name]), name


def test_what_does_not_fit_is_refused_with_what_was_expected() -> None:
    encoder = start.encoder_of(_task(MAE()))
    good = _encoder(_task(MAE(), stream="b"))
    with pytest.raises(UserError, match=r"none of the file's 1 .*expected names as timm's: cls"):
        start.fit(encoder, {"conv1.weight": torch.zeros(2)})
    wrong = {**good, "blocks.0.attn.proj.weight": torch.zeros(64, 64)}
    with pytest.raises(UserError, match=r"is \(64, 64\); expected \(48, 48\)"):
        start.fit(encoder, wrong)
    short = {name: v for name, v in good.items() if not name.startswith("blocks.1.")}
    with pytest.raises(UserError, match=r"lacks 12 of the encoder's 30 .*of this size"):
        start.fit(encoder, short)
    deep = {**good, "blocks.2.norm1.weight": torch.zeros(48)}
    with pytest.raises(UserError, match=r"has 1 tensors more .*blocks\.2.*of this depth"):
        start.fit(encoder, deep)
    with pytest.raises(UserError, match="has no module `encoder`"):
        start.encoder_of(Task())


def _read(path: Path) -> dict[str, Tensor]:
    return dict(weight_files.read(path, weight_files.checksum(path, str(path))))


def test_files_of_every_kind_are_read_out_of_their_wrappers(tmp_path: Path) -> None:
    tensors = {"a.weight": torch.arange(3.0)}
    safetensors.torch.save_file(tensors, tmp_path / "a.safetensors")
    torch.save(tensors, tmp_path / "plain.pth")
    # As MAE's and RETFound's codes write them.
    wrapped = {"model": tensors, "epoch": 3, "args": argparse.Namespace(lr=0.1)}
    torch.save(wrapped, tmp_path / "wrapped.pth")
    torch.save({"state_dict": tensors}, tmp_path / "b.bin")
    for path in sorted(tmp_path.iterdir()):
        assert torch.equal(_read(path)["a.weight"], tensors["a.weight"]), path.name


class _Harmful:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (exec, ("raise SystemExit('executed')",))


def test_files_that_are_no_weights_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "harm.pth").write_bytes(pickle.dumps(_Harmful()))
    torch.save([1, 2], tmp_path / "list.pth")
    torch.save({"epoch": 3}, tmp_path / "none.pt")
    (tmp_path / "text.pth").write_text("hello")
    (tmp_path / "lines.pt").write_text("(l1\n.\n")
    (tmp_path / "numbers.ckpt").write_bytes(bytes(range(256)))
    (tmp_path / "cut.safetensors").write_bytes(b"123")
    (tmp_path / "empty.bin").write_bytes(b"")
    torch.save({"a": torch.zeros(1000)}, tmp_path / "half.pth")
    content = (tmp_path / "half.pth").read_bytes()
    (tmp_path / "half.pth").write_bytes(content[: len(content) // 2])
    for path in sorted(tmp_path.iterdir()):
        with pytest.raises(UserError, match="holds no weights.*expected: tensors by name") as error:
            _read(path)
        assert "\n" not in str(error.value), path.name


def test_missing_changed_and_unnamed_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="There is no file of weights"):
        weight_files.checksum(tmp_path / "a.pth", "a.pth")
    with pytest.raises(UserError, match="allowed endings: .safetensors"):
        weight_files.checksum(tmp_path / "a.txt", "a.txt")
    path = tmp_path / "a.safetensors"
    safetensors.torch.save_file({"a": torch.zeros(1)}, path)
    before = weight_files.checksum(path, "a")
    safetensors.torch.save_file({"a": torch.ones(2)}, path)
    with pytest.raises(UserError, match="was changed since"):
        weight_files.read(path, before)


def test_timms_weights_come_from_its_cache_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", "nowhere")
    with pytest.raises(UserError, match=r"not in its cache, and nothing is downloaded"):
        pretrained.cached("vit_tiny_patch16_224.augreg_in21k")
    with pytest.raises(UserError, match="No model of timm 'vit_tinny'"):
        pretrained.cached("vit_tinny")


NOT_FINITE = torch.tensor([1.0, float("nan"), float("inf")])


@pytest.mark.parametrize(
    ("value", "part"),
    [
        (torch.ones(3, dtype=torch.int64), "holds int64 numbers"),
        (torch.ones(3, dtype=torch.complex64), "holds complex64 numbers"),
        (torch.ones(3, dtype=torch.bool), "holds bool numbers"),
        (torch.ones(3).to_sparse(), "is not dense (sparse_coo)"),
        (torch.ones(3, device="meta"), "has a shape alone"),
        (NOT_FINITE, "holds 2 of 3 numbers that are not finite"),
    ],
    ids=["integer", "complex", "bool", "sparse", "meta", "not-finite"],
)
def test_tensors_that_are_no_weights_are_refused_by_name(value: Tensor, part: str) -> None:
    tensors = {"a": torch.ones(3), "left": NOT_FINITE, "b": value}
    assert sound.shapes(tensors)["b"].shape == (3,)
    with pytest.raises(UserError, match=f"the file's b {re.escape(part)}") as error:
        sound.check(tensors, ["a", "b"])
    assert "\n" not in str(error.value)


def test_counters_of_an_encoder_are_whole_numbers_and_half_precision_is_taken() -> None:
    counter = "bn1.num_batches_tracked"
    tensors = {counter: torch.tensor(3), "a": torch.ones(3, dtype=torch.bfloat16)}
    sound.check(tensors, tensors)
    with pytest.raises(UserError, match="num_batches_tracked holds float32 numbers"):
        sound.check({counter: torch.ones(1)}, [counter])
