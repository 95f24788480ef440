"""The files for containers and citations name what is there."""

from __future__ import annotations

import re

import yaml

import harness
from tests.conftest import ROOT

DOCKERFILE = (ROOT / "Dockerfile").read_text()


def _instructions() -> list[tuple[str, str]]:
    joined = re.sub(r"\\\n\s*", "", re.sub(r"(?m)^#.*\n", "", DOCKERFILE))
    lines = [line for line in joined.splitlines() if line.strip()]
    return [(line.partition(" ")[0], line.partition(" ")[2]) for line in lines]


def test_every_source_of_the_image_exists_and_is_sent_to_the_builder() -> None:
    sent = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in sent
    sources = [w for name, rest in _instructions() if name == "COPY" for w in rest.split()[:-1]]
    assert len(sources) >= 6
    for source in sources:
        assert (ROOT / source).exists(), source
        assert f"!{source.removeprefix('./')}" in sent


def test_the_image_runs_the_demo_and_not_as_root() -> None:
    instructions = _instructions()
    names = [name for name, _ in instructions]
    assert set(names) <= {
        *("ARG", "FROM", "ENV", "RUN", "WORKDIR", "COPY", "USER", "VOLUME", "ENTRYPOINT", "CMD"),
    }
    assert instructions[0] == ("ARG", "BASE=python:3.12-slim-bookworm")
    assert instructions[1] == ("FROM", "${BASE}")
    by_name = dict(instructions)
    assert by_name["USER"] == "harness"
    assert "/data" in by_name["VOLUME"]
    assert "/runs" in by_name["VOLUME"]
    assert names.index("USER") < names.index("ENTRYPOINT")
    assert '"table1", "--profile", "smoke"' in by_name["CMD"]


def test_the_citation_is_of_this_version_and_of_the_paper() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["cff-version"] == "1.2.0"
    assert str(citation["version"]) == harness.__version__
    assert citation["license"] == "Apache-2.0"
    (paper,) = citation["references"]
    assert paper["title"].startswith("Medical supervised masked autoencoders: Crafting a better")
    assert [a["family-names"] for a in paper["authors"]] == ["Mao", "Guo", "Chang", "Yin", "Nie"]
