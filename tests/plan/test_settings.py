"""Settings as a value, as words of a command line and as a file: the same each time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.cli import configuring, launching, options
from harness.cli.main import _parser
from harness.errors import UserError
from harness.plan import catalog, settings_file
from harness.plan.settings import LAUNCHING, Settings, with_margins, words_of
from harness.spec.claim import Margin
from harness.store import margins
from harness.store.margins import TableFile
from harness.verdict.frozen import chosen

TEXTS = st.text(
    st.characters(exclude_categories=("Cs",), exclude_characters="\0"), min_size=1, max_size=12
).filter(lambda text: bool(text.strip()))
NAMES = st.lists(TEXTS, min_size=1, max_size=3, unique=True).map(tuple)
ANY = st.builds(
    Settings,
    profile=st.none() | TEXTS,
    datasets=st.none() | NAMES,
    rows=st.none() | NAMES,
    seeds=st.none()
    | st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=4, unique=True).map(tuple),
    split=st.sampled_from([None, "paper", "clean", "given"]),
    rule=st.sampled_from(["last", "best"]),
    probes=st.booleans(),
    set=st.lists(TEXTS, max_size=3).map(tuple),
    margins=st.dictionaries(TEXTS, st.floats(1e-12, 1e12), max_size=3),
    jobs=st.none() | st.integers(1, 1024),
    devices=st.none() | NAMES,
    jobs_per_device=st.none() | st.integers(1, 1024),
    nodes=st.none() | st.integers(1, 1024),
    partition=st.none() | TEXTS,
    time=st.none() | TEXTS,
    gpus=st.none() | st.integers(1, 1024),
    slurm=st.lists(TEXTS, max_size=3).map(tuple),
    micro_batch=st.none() | st.integers(1, 2**20),
    evaluate_every=st.none() | st.integers(1, 2**20),
    steps=st.sampled_from(["eager", "compiled", "captured", "deterministic"]),
    track=st.sampled_from([None, "on", "off"]),
    name=st.none() | TEXTS,
    runs=st.none() | TEXTS,
)


@given(ANY)
def test_a_written_file_reads_as_the_same_settings(settings: Settings) -> None:
    path = Path("settings.toml")
    path.write_text(settings_file.text_of(settings, "any\nthing"), newline="")
    assert settings_file.read(path) == settings


PLAIN = st.text(st.sampled_from("ab-_.= 12"), min_size=1, max_size=6).map(lambda t: f"x{t}x")


@hypothesis.settings(deadline=None)
@given(
    st.builds(
        Settings,
        rows=st.none() | st.lists(PLAIN, min_size=1, max_size=3, unique=True).map(tuple),
        seeds=st.none() | st.lists(st.integers(0, 9), min_size=1, unique=True).map(tuple),
        set=st.lists(PLAIN, max_size=3).map(tuple),
        margins=st.dictionaries(PLAIN, st.floats(1e-12, 1e12), max_size=3),
        probes=st.booleans(),
        micro_batch=st.none() | st.integers(1, 99),
        evaluate_every=st.none() | st.integers(1, 99),
        steps=st.sampled_from(["eager", "compiled", "captured", "deterministic"]),
        jobs=st.none() | st.integers(1, 99),
        devices=st.sampled_from([None, ("all",), ("0", "3"), ("GPU-8f3c", "1")]),
        nodes=st.none() | st.integers(1, 99),
        partition=st.none() | PLAIN,
        time=st.sampled_from([None, "90", "1-12:00:00"]),
        gpus=st.none() | st.integers(1, 9),
        slurm=st.lists(st.sampled_from(["account=lab", "exclusive", "mem=16G"])).map(tuple),
    )
)
def test_words_are_parsed_as_the_same_settings(settings: Settings) -> None:
    args = configuring.parse(_parser(), ["run", "table1", *words_of(settings)])
    assert args.rows == settings.rows
    assert args.seeds == settings.seeds
    assert tuple(args.set) == settings.set
    assert args.margins == settings.margins
    assert (args.probes, args.micro_batch) == (settings.probes, settings.micro_batch)
    assert args.steps == settings.steps
    for name in LAUNCHING:
        value = getattr(args, name)
        assert (tuple(value) if name == "slurm" else value) == getattr(settings, name)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("rowz = ['a']", "No setting 'rowz'. Did you mean 'rows'? Known: data, datasets,"),
        ("rows = 'vit'", "rows is 'vit'; give a list of texts"),
        ("seeds = 3", "seeds is 3; give a list of whole numbers, as in [0, 1, 2]"),
        ("seeds = [0.5]", "give a list of whole numbers"),
        ("seeds = [true]", "give a list of whole numbers"),
        ("seeds = [-1]", "seeds is"),
        ("seeds = [0, 0]", "seeds names one twice"),
        ("rows = []", "rows names nothing"),
        ("probes = 1", "probes is 1; give true or false"),
        ("jobs = 1.5", "jobs is 1.5; give a whole number"),
        ("jobs = 100000", "jobs is 100000; allowed: a whole number from 1 to 1024"),
        ("devices = 0.5", "devices is 0.5; give a list of numbers or UUIDs, as in [0, 1], or"),
        ("devices = [0, '0']", "devices names one twice"),
        ("devices = []", "devices names nothing"),
        ("time = 1.5", "time is 1.5; give minutes, as in 90, or a text"),
        ("gpus = 0", "gpus is 0; allowed: a whole number from 1"),
        ("nodes = 'two'", "nodes is 'two'; give a whole number"),
        ("slurm = {mem = [1]}", "slurm mem is [1]; give a text, a number or true"),
        ("slurm = 'mem=1'", "slurm is 'mem=1'; give a list of texts"),
        ("split = 'mine'", "split is 'mine'; allowed:"),
        ("margins = {btmd = 'x'}", "margins is"),
        ("margins = {btmd = 0}", "the margin of 'btmd' is 0"),
        ("margins = {btmd = nan}", "the margin of 'btmd' is"),
        ("[set]\nrecipe.epochs = 2020-01-01", "set recipe.epochs is"),
        ("micro-batch = 4\nmicro_batch = 4", "micro_batch is given twice"),
        ("rows = [", "is no TOML: "),
        ("a = 1\na = 2", "is no TOML: "),
        ("profile = ''", "profile is ''; give a text"),
        (b"profile = '\xff'", "is no text in UTF-8 (byte 11)"),
        ("x = " + "[" * 5000, "is no TOML"),
        (b"#" * (2**20 + 1), "has more than 1048576 bytes"),
    ],
)
def test_what_no_file_may_hold_is_one_line(content: str | bytes, says: str) -> None:
    path = Path("s.toml")
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UserError) as raised:
        settings_file.read(path)
    text = str(raised.value)
    assert says in text
    assert "s.toml" in text
    assert "\n" not in text
    assert len(text) < 600


@pytest.mark.parametrize("place", ["nowhere.toml", ".", "a/b.toml"])
def test_what_is_no_file_is_one_line(place: str) -> None:
    Path("a").write_text("")
    with pytest.raises((UserError, OSError)):
        settings_file.read(Path(place))


@pytest.mark.parametrize(
    ("value", "texts"),
    [
        ({"recipe": {"epochs": 5}}, ("recipe.epochs=5",)),
        ({"pretrain.method.mask_ratio": 0.6}, ("pretrain.method.mask_ratio=0.6",)),
        ({"recipe": {"decay_all": True, "lr_batch": None}},
         ("recipe.decay_all=true", "recipe.lr_batch=none")),
        ({"finetune": "own", "recipe.betas": [0.9, 0.95]},
         ("finetune=own", "recipe.betas=[0.9, 0.95]")),
        (["recipe.epochs=5"], ("recipe.epochs=5",)),
    ],
)  # fmt: skip
def test_fields_become_the_texts_of_set(value: Any, texts: tuple[str, ...]) -> None:
    assert settings_file.settings_of({"set": value}, "x").set == texts


@pytest.mark.parametrize(
    ("values", "name", "same"),
    [
        ({"devices": "all"}, "devices", ("all",)),
        ({"devices": [0, "GPU-8f3c"]}, "devices", ("0", "GPU-8f3c")),
        ({"time": 90}, "time", "90"),
        ({"time": "1:30:00"}, "time", "1:30:00"),
        (
            {"slurm": {"account": "lab", "exclusive": True, "nice": 5}},
            "slurm",
            ("account=lab", "exclusive", "nice=5"),
        ),
    ],
)
def test_ways_to_write_devices_and_options_of_a_cluster(
    values: Any, name: str, same: object
) -> None:
    assert getattr(settings_file.settings_of(values, "x"), name) == same


def test_options_of_a_cluster_in_a_file_are_those_of_the_launcher(tmp_path: Path) -> None:
    """The launcher is another one, so that none has to be installed."""
    file = tmp_path / "s.toml"
    file.write_text('time = "2:00:00"\njobs_per_device = 2\nnodes = 3\nslurm = {mem = "16G"}\n')
    words = ["run", "table1", "--config", str(file), "--jobs", "4", "--slurm", "account=lab"]
    args = configuring.parse(_parser(), words)
    assert (args.jobs, args.jobs_per_device, args.nodes) == (4, None, 3)  # what is typed wins
    assert args.slurm == ["mem=16G", "account=lab"]
    with pytest.raises(UserError, match="local does not take --nodes, --time, --slurm; it takes"):
        launching.launch_options(args, ())


def test_a_name_with_a_comma_is_refused_as_a_word() -> None:
    with pytest.raises(UserError, match="a name with a comma"):
        words_of(Settings(rows=("a,b",)))
    assert options.names("a,b") == ("a", "b")


def test_margins_are_frozen_like_those_of_a_file() -> None:
    name, table = catalog.load("table1")
    file = TableFile(name=name)
    ((_, first),) = with_margins([(name, table)], {"btmd": 0.25})
    assert first.margins["btmd"] == Margin(value=0.25, source="given with --margins")
    assert first.margins["ham10000"] == table.margins["ham10000"]
    margins.freeze(Path("runs"), file, chosen(first))
    margins.check(Path("runs"), file, chosen(first))
    for other in ({"btmd": 0.5}, {}):
        ((_, later),) = with_margins([(name, table)], other)
        with pytest.raises(UserError, match="btmd"):
            margins.freeze(Path("runs"), file, chosen(later))
