"""The page in a headless Chromium: its script, keys, sizes and console."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.page import serve
from harness.page.build import Request, build
from harness.page.render import render
from tests.page import browser, stores
from tests.page.asked import HOSTILE, NAMES
from tests.page.browser import Browser

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(browser.find() is None, reason="no Chromium on this machine"),
]

CELL = "smoke-table1/mae/btmd"


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser.chromium(tmp_path_factory.mktemp("chromium")) as driven:
        yield driven


@pytest.fixture
def page(chromium: Browser) -> Iterator[Browser]:
    """The browser, which must have met no error and asked for nothing when the test ends."""
    chromium.errors.clear()
    chromium.requests.clear()
    chromium.size(1280)
    chromium.dark(on=False)
    yield chromium
    assert chromium.errors == []
    assert [r for r in chromium.requests if not r.startswith(("file:", "data:", "about:"))] == []


def request(*names: str) -> Request:
    return Request(
        wanted=stores.wanted(*names),
        folder=Path("reports"),
        title="A page",
        command="harness report",
        device="cpu some CPU",
    )


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A page of Table 1 with two rows that have runs, two seeds each."""
    with contextlib.chdir(tmp_path_factory.mktemp("page")):
        plan = stores.planned(seeds=(0, 1))
        stores.fill(plan, stale=[plan.cell_runs[0].run.key()])
        Path("page.html").write_text(render(build(request("table1"))))
        return Path("page.html").resolve().as_uri()


ROWS = "[...document.querySelectorAll('tbody tr.row')].filter(r => !r.hidden)"


def test_a_number_opens_its_run_and_escape_returns(page: Browser, address: str) -> None:
    page.open(address)
    page.value(f"document.querySelector('a.open[data-ref=\"{CELL}\"]').focus()")
    page.press("Enter")
    page.wait("!document.getElementById('panel').hidden")
    text = page.value("document.getElementById('panel').innerText")
    for part in (
        "MAE",
        "Verdict: not comparable",
        "harness run table1 --profile smoke --datasets btmd --rows mae --seeds 0",
        "made by other sources than the present ones †",
        "Curves of the finetune",
        "Confusion matrix",
        "differ from MSMAE (ours in the paper)",
        "cccccccccccc",
    ):
        assert part in text
    assert page.value("document.querySelectorAll('#panel svg.plot').length") == 4
    assert page.value("document.querySelectorAll('#panel tr.differs').length") > 5
    shaded = page.value(
        "[...document.querySelectorAll('.matrix td')].map(t => getComputedStyle(t).backgroundColor)"
    )
    assert len(set(shaded)) > 2
    assert page.value("location.hash").startswith("#open=smoke-table1%2Fmae")
    assert page.value("document.activeElement.textContent") == "Close"
    page.press("Escape")
    page.wait("document.getElementById('panel').hidden")
    assert page.value("location.hash") == ""
    assert page.value("document.activeElement.dataset.ref") == CELL


def test_the_address_holds_the_whole_view(page: Browser, address: str) -> None:
    page.open(address)
    page.value("document.getElementById('filter').value = 'mae'")
    page.value("document.getElementById('filter').dispatchEvent(new Event('input'))")
    page.wait("location.hash.includes('q=mae')")
    page.value("document.querySelector('[data-part=paper]').click()")
    page.value("document.querySelector('[data-show=seeds]').click()")
    page.value("document.querySelector('th[data-k=\"0.ours\"] button').click()")
    page.value("document.querySelector('.choose input[data-c=\"1\"]').click()")
    page.value(f"document.querySelector('a.open[data-ref=\"{CELL}\"]').click()")
    page.value("document.querySelectorAll('#panel [role=tab]')[1].click()")
    kept = page.value("location.href")
    shown = page.value(f"{ROWS}.map(r => r.cells[0].textContent)")
    assert len(shown) == 3  # MAE, AMT (MAE), MSMAE
    page.value("history.back()")
    page.wait("document.getElementById('panel').hidden")
    assert page.value("document.getElementById('filter').value") == "mae"
    page.open(kept)
    assert page.value(f"{ROWS}.map(r => r.cells[0].textContent)") == shown
    assert page.value("document.getElementById('filter').value") == "mae"
    assert page.value("document.querySelector('td.p-paper').offsetParent") is None
    assert page.value("document.querySelector('.seeds').offsetParent !== null")
    assert page.value("document.querySelector('th[data-c=\"1\"]').hidden")
    assert page.value("document.querySelector('th[data-k=\"0.ours\"]').ariaSort") == "descending"
    assert page.value(
        "document.querySelector('#panel [aria-selected=true]').textContent"
    ).startswith("seed 1")


def test_sorting_puts_numbers_in_order_and_what_is_missing_last(
    page: Browser, address: str
) -> None:
    page.open(address)
    before = page.value(f"{ROWS}.map(r => r.cells[0].textContent)")
    values = f"{ROWS}.map(r => Number(r.querySelector('[data-k=\"0.ours\"]').dataset.v))"
    click = "document.querySelector('th[data-k=\"0.ours\"] button').click()"
    page.value(click)
    down = page.value(values)
    page.value(click)
    up = page.value(values)
    assert down[0] > down[1] > 0
    assert up[:2] == down[1::-1]
    assert set(up[2:]) == {None}  # NaN
    page.value(click)
    assert page.value(f"{ROWS}.map(r => r.cells[0].textContent)") == before
    assert page.value("document.querySelectorAll('tr.group').length") > 1


def test_arrow_keys_walk_the_table(page: Browser, address: str) -> None:
    page.open(address)
    page.value(f"document.querySelector('a.open[data-ref=\"{CELL}\"]').focus()")
    page.press("ArrowDown")
    assert page.value("document.activeElement.dataset.ref") == "smoke-table1/simmim/btmd"
    page.press("ArrowUp")
    page.press("ArrowUp")
    assert page.value("document.activeElement.dataset.ref") == "smoke-table1/simclr/btmd"
    for _ in range(5):
        page.press("ArrowUp")
    assert page.value("document.activeElement.className") == "sort"
    outline = page.value("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("dark", [False, True])
def test_no_page_is_wider_than_its_window(
    page: Browser, address: str, width: int, dark: bool
) -> None:
    page.size(width, 844, mobile=width == 390)
    page.dark(on=dark)
    for fragment in ("", "#show=seeds|probes", f"#open={CELL}"):
        page.open(address + fragment)
        page.value("document.querySelectorAll('details').forEach(d => { d.open = true; })")
        wide = page.value("[document.documentElement.scrollWidth, window.innerWidth]")
        assert wide[0] <= width
        assert wide[1] == width
    background = page.value("getComputedStyle(document.body).backgroundColor")
    assert background == ("rgb(20, 23, 26)" if dark else "rgb(252, 252, 250)")


def test_the_switch_overrules_the_system(page: Browser, address: str) -> None:
    page.open(address)
    page.value("document.getElementById('theme').click()")
    assert page.value("getComputedStyle(document.body).backgroundColor") == "rgb(20, 23, 26)"
    page.value("document.getElementById('theme').click()")
    assert page.value("getComputedStyle(document.body).backgroundColor") == "rgb(252, 252, 250)"
    page.value("localStorage.clear()")


def test_words_can_be_told_from_their_ground(page: Browser, address: str) -> None:
    """Every colour of text has a contrast of 4.5 with its ground, light and dark (WCAG AA)."""
    for dark in (False, True):
        page.dark(on=dark)
        page.open(address)
        colours = page.value(CONTRAST)
        assert len(colours) > 4
        for colour, ground in colours:
            assert contrast(rgb(colour), rgb(ground)) >= 4.5, (colour, ground, dark)


CONTRAST = """(() => {
  const ground = (e) => {
    for (; e; e = e.parentElement) {
      const c = getComputedStyle(e).backgroundColor;
      if (c !== 'rgba(0, 0, 0, 0)' && c !== 'transparent') return c;
    }
  };
  const pairs = [...document.querySelectorAll('p, a, span, td, th, b, label, button, summary')]
    .filter(e => e.offsetParent && e.textContent.trim())
    .map(e => [getComputedStyle(e).color, ground(e)]);
  return [...new Set(pairs.map(p => p.join('|')))].map(p => p.split('|'));
})()"""


def rgb(text: str) -> tuple[float, ...]:
    return tuple(float(n) for n in text.partition("(")[2].rstrip(")").split(",")[:3])


def contrast(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    def light(colour: tuple[float, ...]) -> float:
        linear = [
            c / 255 / 12.92 if c / 255 <= 0.04045 else ((c / 255 + 0.055) / 1.055) ** 2.4
            for c in colour
        ]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((light(one), light(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("bad", NAMES)
def test_hostile_names_are_text_in_the_panel_too(page: Browser, bad: str) -> None:
    Path("hostile.py").write_text(HOSTILE.format(bad=bad), encoding="utf-8")
    plan = stores.fill(stores.planned("hostile.py", None, seeds=(0, 1)))
    made = build(request("hostile.py"))
    for run in made.data["runs"].values():
        run["classes"] = [bad] * 4
    for stage in made.data["stages"].values():
        stage["device"] = stage["error"] = bad
    made.data["settings"][0][bad] = bad
    Path("page.html").write_text(render(made), encoding="utf-8")
    page.open(Path("page.html").resolve().as_uri())
    page.value("window.alert = () => { throw new Error('alerted'); }")
    for number in range(2):
        page.value(f"document.querySelectorAll('a.open')[{number}].click()")
        assert page.value("!document.getElementById('panel').hidden")
        assert page.value("document.querySelectorAll('#panel img, #panel script').length") == 0
    seen = page.value("document.getElementById('panel').textContent")
    assert not set("\x07\x1b\u202e\u2028") & set(seen)
    page.value("document.querySelectorAll('a.open')[0].click()")
    shown = page.value("document.getElementById('panel-title').textContent")
    expected = "".join(
        "\N{REPLACEMENT CHARACTER}" if c in "\x07\x1b\u202e\u2028" else c for c in bad
    )
    assert shown.strip().endswith(f"{expected} label".strip())
    address = page.value("location.href")
    page.open(address)
    assert page.value("document.getElementById('panel-title').textContent") == shown
    assert plan.seeds == (0, 1)


def test_wild_fragments_do_no_harm(page: Browser, address: str) -> None:
    for fragment in (
        "#open=__proto__",
        "#open=constructor&seed=__proto__",
        "#sort=smoke-table1.0~<img>~d&columns=smoke-table1.0~99.__proto__|x",
        "#hide=paper|nothing&show=|",
        "#%E0%A4%A",
        "#q=%00%ff&open=",
        "#=",
    ):
        page.open(address + fragment)
        assert page.value("document.body.classList.contains('with-js')")
        assert page.value("document.getElementById('panel').hidden")


def test_without_a_script_tables_and_seeds_are_shown(page: Browser, address: str) -> None:
    page.call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        page.open(address)
        assert page.value("document.querySelector('.seeds').offsetParent !== null")
        assert page.value("document.querySelector('.tools').offsetParent") is None
        assert page.value("document.querySelector('#panel').offsetParent") is None
    finally:
        page.call("Emulation.setScriptExecutionDisabled", value=False)


def test_the_printed_page_has_no_controls(page: Browser, address: str) -> None:
    page.open(address)
    page.call("Emulation.setEmulatedMedia", media="print")
    try:
        assert page.value("document.querySelector('.top').offsetParent") is None
        assert page.value("getComputedStyle(document.body).color") == "rgb(0, 0, 0)"
    finally:
        page.call("Emulation.setEmulatedMedia", media="")


def test_a_served_page_shows_new_runs_and_keeps_its_view(chromium: Browser) -> None:
    """It is reloaded when a record comes; the filter in its address stays."""
    chromium.errors.clear()
    plan = stores.planned(seeds=(0,))
    stores.fill(plan, failed=[c.run.key() for c in plan.cell_runs if c.row.name == "msmae"])
    made = request("table1")
    pages = serve.Pages(Path("runs"), lambda version: render(build(made), version=version))
    with serve.server(pages, 0) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        chromium.open(f"http://127.0.0.1:{server.server_port}/#q=msmae")
        chromium.wait("document.getElementById('live').innerText.includes('Nothing is being')")
        cell = "document.querySelector('a.open[data-ref=\"smoke-table1/msmae/btmd\"]')"
        assert chromium.value(f"{cell}.textContent") == "failed"
        stores.fill(plan)
        assert pages.refresh()
        chromium.wait(f"Number({cell}?.textContent) > 0")
        assert chromium.value("document.getElementById('filter').value") == "msmae"
        server.shutdown()
    chromium.call("Page.navigate", url="about:blank")
    assert chromium.errors == []
