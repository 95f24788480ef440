"""Flipped bits in every kind of file of a run store: named, and nothing else is trained again."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from harness import seed
from harness.cli.main import main
from harness.store import verify
from harness.store.verify import Count
from tests.survival import small
from tests.survival.run_small import EPOCHS
from tests.survival.small import Forks

pytestmark = pytest.mark.slow

ROUNDS = small.times(1, 40)

DAMAGES = ("bit", "zeros", "truncated", "emptied")


def damage(path: Path, kind: str, generator: np.random.Generator) -> None:
    """Change a file's content in one of ``DAMAGES``; the content is another afterwards."""
    content = bytearray(path.read_bytes())
    before = bytes(content)
    position = int(generator.integers(len(content)))
    if kind == "bit":
        content[position] ^= 1 << int(generator.integers(8))
    elif kind == "zeros":
        content[position : position + 512] = bytes(len(content[position : position + 512]))
    elif kind == "truncated":
        del content[position:]
    else:
        content.clear()
    if bytes(content) == before:  # zeros in the place of zeros
        content[position] ^= 1
    path.write_bytes(bytes(content))


@pytest.fixture(scope="module")
def forks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forks]:
    """Return the warm process."""
    process = Forks(tmp_path_factory.mktemp("flips"))
    yield process
    process.close()


@pytest.fixture(scope="module")
def finished(forks: Forks) -> Path:
    """Return a store of two finished stages."""
    runs = forks.folder / "finished"
    assert forks.train(runs).code == 0
    return runs


@pytest.fixture(scope="module")
def interrupted(forks: Forks) -> Path:
    """Return a store whose first stage was killed with two states written."""
    runs = forks.folder / "interrupted"
    calls = forks.calls(forks.folder / "counted")
    for at in range(calls // 5, calls, 12):
        forks.train(runs, FAULT_AT=str(at), FAULT_CODE="0")
        states = [list((runs / name).glob("[0-9a-f]*.pt")) for name in ("checkpoints", "previous")]
        if all(states) and not list((runs / "records").glob("[0-9a-f]*.json")):
            return runs
        shutil.rmtree(runs)
    raise AssertionError("no kill left two states")


def _generator(*names: str) -> np.random.Generator:
    return np.random.default_rng(seed.derive("flips", *names))


def _named(runs: Path, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Return the names of the files that ``harness verify`` calls damaged."""
    code = main(["verify", "--runs", str(runs), "--data", str(runs / "no-data")])
    out = capsys.readouterr().out
    named = [line.split()[1] for line in out.splitlines() if line.startswith("damaged ")]
    assert code == (1 if named else 0), out
    return [Path(name).name for name in named]


KINDS = {"records": "*.json", "predictions": "*.npz", "weights": "*.safetensors"}


@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_file_of_a_finished_stage_is_named_and_made_anew(
    forks: Forks,
    finished: Path,
    kind: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    expected = small.results(finished)
    tried = unnoticed = 0
    for number in range(ROUNDS):
        for how in DAMAGES:
            generator = _generator(kind, how, str(number))
            runs = small.copy(finished, forks.folder / f"{kind}-{how}-{number}")
            paths = sorted((runs / kind).glob(KINDS[kind]))
            path = paths[int(generator.integers(len(paths)))]
            damage(path, how, generator)
            named = _named(runs, capsys)
            tried += 1
            if named == [] and kind == "predictions":
                # A byte without content: the date in the header of a ZIP archive.
                assert forks.train(runs).epochs == 0
                assert small.results(runs) == expected
                unnoticed += 1
            else:
                assert named == [path.name], (how, number)
                if kind == "weights":  # read by no command until a stage starts from them
                    main(["verify", "--runs", str(runs), "--data", "none", "--set-aside"])
                    capsys.readouterr()
                again = forks.train(runs)
                assert again.code == 0, again.errors
                assert path.name in again.errors or kind == "weights"
                assert again.epochs == EPOCHS  # of that stage alone
                assert small.results(runs) == expected
                assert (path.parent / f"{path.name}.damaged").exists()
                assert _named(runs, capsys) == []
            shutil.rmtree(runs)
    with capsys.disabled():
        print(f"\ndamaged {kind}: {tried}, all named but {unnoticed} without effect")


@pytest.mark.parametrize("which", ["checkpoints", "previous", "both"])
def test_a_damaged_state_is_named_and_the_one_before_it_is_taken(
    forks: Forks,
    finished: Path,
    interrupted: Path,
    which: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    expected = small.results(finished)
    tried, epochs = 0, set()
    for number in range(ROUNDS):
        for how in DAMAGES:
            generator = _generator(which, how, str(number))
            runs = small.copy(interrupted, forks.folder / f"state-{which}-{how}-{number}")
            names = ("checkpoints", "previous") if which == "both" else (which,)
            for name in names:
                (path,) = (runs / name).glob("[0-9a-f]*.pt")
                damage(path, how, generator)
            assert _named(runs, capsys) == [path.name] * len(names), (how, number)
            again = forks.train(runs)
            assert again.code == 0, again.errors
            assert small.results(runs) == expected
            if which != "previous":
                assert path.name in again.errors and "damaged" in again.errors
                assert list(runs.glob("checkpoints/*.damaged"))
            epochs.add(again.epochs)
            tried += 1
            shutil.rmtree(runs)
    with capsys.disabled():
        print(f"\ndamaged states ({which}): {tried}; epochs trained afterwards: {epochs}")
    assert max(epochs) <= 2 * EPOCHS


def test_weights_that_the_next_stage_starts_from_are_made_anew(
    forks: Forks, finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    expected = small.results(finished)
    runs = small.copy(finished, forks.folder / "weights-needed")
    (last,) = [
        path
        for path in (runs / "records").glob("[0-9a-f]*.json")
        if '"phase": "finetune"' in path.read_text()
    ]
    last.unlink()
    (runs / "weights" / f"{last.stem}.safetensors").unlink()
    (first,) = (runs / "weights").glob("*.safetensors")
    damage(first, "bit", _generator("needed"))
    again = forks.train(runs)
    assert again.code == 0, again.errors
    assert first.name in again.errors and "its stage is trained again" in again.errors
    assert again.epochs == 2 * EPOCHS
    assert small.results(runs) == expected


def test_a_sound_store_has_nothing_to_name(finished: Path) -> None:
    count = Count()
    assert list(verify.check(finished, count)) == []
    assert count.files == 7  # records, weights, predictions, and the costs of both stages


def test_a_folder_that_is_no_store_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "weights").mkdir()
    assert main(["verify", "--runs", str(tmp_path), "--data", str(tmp_path / "data")]) == 2
    assert "There is no run store" in capsys.readouterr().err
