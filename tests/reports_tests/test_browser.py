"""The HTML report in a real browser: it draws, answers, and asks the network for nothing."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from reports_tests.synthetic_run import TITLE, build_run

from compare.records.run import read_run
from reports import report
from reports.runs import write_comparison

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytest.importorskip("bokeh")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine"),
]

NAME = "</script><b>$$x$$"
"""Of a class: markup, and what Bokeh and Matplotlib read as a formula."""
WIDE, NARROW = 1280, 390
FIGURES = ("curves", "parity-map", "confusion", "drift", "timing")
OPTIONS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking",
           "--disable-component-update", "--disable-sync"]  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with a failure, two seeds, and names full of markup; its report is beside it."""
    path = build_run(
        tmp_path_factory.mktemp("browser") / "run",
        seeds=(0, 1),
        failing={(1, "gradient/1.weight")},
        experiment={"title": TITLE},
    )
    record = json.loads((path / "run.json").read_text("utf-8"))
    record["data"]["class_names"] = ["even", NAME]
    (path / "run.json").write_text(json.dumps(record), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(report, "pdf_document", lambda *_: b"")
        report.write_report(path)
    return path


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=OPTIONS)
        yield browser
        browser.close()


@pytest.fixture
def visit(browser: Any, run: Path) -> Iterator[Callable[..., Any]]:
    """Opens the report; at the end there was no error in it, and no request but for the file."""
    complaints: list[str] = []
    contexts = []
    address = (run / "report" / "report.html").as_uri()

    def heard(said: Any) -> None:
        # The advice on getImageData is about inked().
        if said.type in ("error", "warning") and "getImageData" not in said.text:
            complaints.append(said.text)

    def opened(width: int = WIDE, **choices: Any) -> Any:
        context = browser.new_context(viewport={"width": width, "height": 900}, **choices)
        contexts.append(context)
        page = context.new_page()

        def answer(route: Any) -> None:
            if route.request.url == address:
                route.continue_()
            else:
                complaints.append(f"a request for {route.request.url}")
                route.abort()

        page.route(lambda url: not url.startswith("data:"), answer)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", heard)
        page.goto(address)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert complaints == []


def drawn(page: Any, name: str) -> Any:
    """Wait until a figure is drawn, and return its block."""
    page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    block = page.locator(f'[data-name="{name}"]')
    block.scroll_into_view_if_needed()
    page.wait_for_function(
        """(name) => {
            const { figure } = document.querySelector(`[data-name="${name}"]`);
            return figure.plot && figure.target.children.length;
        }""",
        arg=name,
    )
    block.locator("canvas").first.wait_for()
    page.wait_for_timeout(200)  # a frame in which Bokeh paints
    return block


def inked(block: Any) -> int:
    """How many pixels of a figure's first canvas are not empty."""
    return block.locator("canvas").first.evaluate(
        """(canvas) => {
            const { width, height } = canvas;
            const { data } = canvas.getContext("2d").getImageData(0, 0, width, height);
            let count = 0;
            for (let k = 3; k < data.length; k += 4) count += data[k] > 0;
            return count;
        }"""
    )


def painted(block: Any) -> str:
    """A figure's first canvas, as the address of a picture."""
    return str(block.locator("canvas").first.evaluate("(canvas) => canvas.toDataURL()"))


def seen(block: Any) -> int:
    """How many of a figure's renderers are visible."""
    return block.evaluate("(one) => one.figure.plot.renderers.filter((r) => r.visible).length")


@pytest.mark.parametrize("width", [WIDE, NARROW])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_figure_is_drawn_and_fits(visit: Callable[..., Any], width: int, scheme: str) -> None:
    page = visit(width, color_scheme=scheme)
    assert page.title() == TITLE
    for name in FIGURES:
        block = drawn(page, name)
        assert inked(block) > 5000, name
        box = block.bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator("figure.asked > img:visible").count() == 0


def test_values_are_under_the_pointer(visit: Callable[..., Any], run: Path) -> None:
    page = visit()
    block = drawn(page, "confusion")
    box = block.locator(".plot").bounding_box()
    page.mouse.move(box["x"] + 0.3 * box["width"], box["y"] + 0.25 * box["height"])
    tooltip = page.locator(".bk-Tooltip .bk-tooltip-content")
    tooltip.wait_for()
    # The synthetic Adam is wrong on 2 rows with NumPy and on 3 with PyTorch, SGD on 1 and 2.
    assert "NumPy: 19 rows" in " ".join(tooltip.inner_text().split())

    block = drawn(page, "curves")
    page.evaluate("document.querySelector('#plot-curves').scrollIntoView()")
    at = block.evaluate(
        """(one) => {
            const { x_range, y_range } = one.figure.plot;
            return { x: [x_range.start, x_range.end], y: [y_range.start, y_range.end] };
        }"""
    )
    value = next(
        row.value
        for row in read_run(run).history
        if (row.backend, row.label, row.seed, row.split, row.metric, row.step)
        == ("torch", "SGD", 0, "test", "loss", 3)
    )
    epoch = 1
    frame = block.locator(".plot .bk-CartesianFrame").first.bounding_box()
    x = frame["x"] + frame["width"] * (epoch - at["x"][0]) / (at["x"][1] - at["x"][0])
    y = frame["y"] + frame["height"] * (at["y"][1] - value) / (at["y"][1] - at["y"][0])
    page.mouse.move(x, y)
    tooltip = page.locator(".bk-Tooltip .bk-tooltip-content").first
    tooltip.wait_for()
    words = " ".join(tooltip.inner_text().split())
    assert f"PyTorch: {value:.9g}" in words
    assert "NumPy − PyTorch: -1.00e-7" in words


def test_trainings_backends_and_seeds_are_switched(visit: Callable[..., Any]) -> None:
    page = visit()
    block = drawn(page, "curves")
    for key, text in (("label", "Adam"), ("side", "PyTorch"), ("what", "test set")):
        before, picture = seen(block), painted(block)
        box = block.locator(f'[data-key="{key}"] label', has_text=text).locator("input")
        box.uncheck()
        page.wait_for_timeout(200)
        assert seen(block) < before
        assert painted(block) != picture, key
        box.check()
        page.wait_for_timeout(200)
        assert seen(block) == before
    before = seen(block)
    block.locator('[data-key="seed"] label', has_text="1").locator("input").check()
    page.wait_for_timeout(200)
    assert seen(block) == 2 * before


def test_axes_are_linear_or_logarithmic(visit: Callable[..., Any]) -> None:
    page = visit()
    block = drawn(page, "curves")
    kinds = "(one) => [one.figure.plot.x_scale.type, one.figure.plot.y_scale.type]"
    axes = "(one) => [one.figure.plot.below[0].type, one.figure.plot.left[0].ticker.type]"
    assert block.evaluate(kinds) == ["LinearScale", "LinearScale"]
    block.locator('[data-key="y-scale"] [value="log"]').check()
    page.wait_for_timeout(400)
    assert block.evaluate(kinds) == ["LinearScale", "LogScale"]
    assert block.evaluate(axes) == ["LinearAxis", "LogTicker"]
    assert inked(block) > 5000
    # An accuracy is seen on a linear axis; the differences beneath stay on a logarithmic one.
    quantity = block.locator('[data-key="quantity"]')
    quantity.locator('[value="accuracy"]').check()
    page.wait_for_timeout(400)
    assert block.evaluate(kinds) == ["LinearScale", "LinearScale"]
    assert block.evaluate("(one) => one.figure.plot.left[0].axis_label") == "accuracy"
    beneath = "(one) => [one.figure.plots[1].x_scale.type, one.figure.plots[1].y_scale.type]"
    assert block.evaluate(beneath) == ["LinearScale", "LogScale"]
    block.locator('[data-key="x-scale"] [value="log"]').check()
    page.wait_for_timeout(400)
    assert block.evaluate(beneath) == ["LogScale", "LogScale"]
    assert block.locator(".bk-CartesianFrame").count() == 2


@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_the_difference_is_beneath_the_curves_and_moves_with_them(
    visit: Callable[..., Any], width: int
) -> None:
    page = visit(width)
    block = drawn(page, "curves")
    upper, lower = (
        block.locator(".plot .bk-CartesianFrame").nth(place).bounding_box() for place in (0, 1)
    )
    assert lower["y"] > upper["y"] + upper["height"]
    assert (lower["x"], lower["width"]) == pytest.approx((upper["x"], upper["width"]), abs=1)
    block.evaluate("(one) => { one.figure.plot.x_range.setv({ start: 0.5, end: 1.5 }); }")
    page.wait_for_timeout(300)
    assert block.evaluate("(one) => one.figure.plots[1].x_range.end") == 1.5
    # The synthetic backends are 1e-7 apart at the end of each epoch.
    lower = block.locator(".plot .bk-CartesianFrame").nth(1)
    lower.scroll_into_view_if_needed()
    box = lower.bounding_box()
    at = block.evaluate(
        "(one) => [one.figure.plots[1].y_range.start, one.figure.plots[1].y_range.end]"
    )
    low, high = (math.log(value) for value in at)
    y = box["y"] + box["height"] * (high - math.log(1e-7)) / (high - low)
    page.mouse.move(box["x"] + box["width"] / 2, y)
    tooltip = page.locator(".bk-Tooltip .bk-tooltip-content").first
    tooltip.wait_for()
    assert "NumPy − PyTorch: -1.00e-7" in " ".join(tooltip.inner_text().split())


HINT = "(one) => getComputedStyle(one, '::before').height"


def test_what_is_wide_says_that_it_scrolls(visit: Callable[..., Any]) -> None:
    page = visit(NARROW)
    tables = page.locator("main > .table")
    wide = [tables.nth(k) for k in range(tables.count())]
    wide = [one for one in wide if one.evaluate("(one) => one.scrollWidth > one.clientWidth")]
    assert 0 < len(wide) < tables.count()
    for one in wide:
        assert float(one.evaluate(HINT).removesuffix("px")) > 10
        # The first column and the caption stay where they are.
        first, caption = one.locator("td").first, one.locator("caption span").first
        before = [part.bounding_box()["x"] for part in (first, caption) if part.count()]
        one.evaluate("(one) => { one.scrollLeft = one.scrollWidth; }")
        page.wait_for_timeout(100)
        after = [part.bounding_box()["x"] for part in (first, caption) if part.count()]
        assert after == pytest.approx(before, abs=1)
        # At the end there is no more.
        assert one.evaluate("(one) => getComputedStyle(one, '::before').opacity") == "0"
    page = visit(WIDE)
    tables = page.locator("main > .table")
    for k in range(tables.count()):
        one = tables.nth(k)
        if one.evaluate("(one) => one.scrollWidth <= one.clientWidth"):
            assert one.evaluate(HINT) == "0px"


def test_several_runs_are_in_one_figure(browser: Any, run: Path, tmp_path: Path) -> None:
    other = build_run(tmp_path / "other", optimizers=("SGD",))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(report, "pdf_document", lambda *_: b"")
        write_comparison([run, other], tmp_path / "out")
    page = browser.new_page(viewport={"width": WIDE, "height": 900})
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: complaints.append(request.url))
    address = (tmp_path / "out" / "report.html").as_uri()
    page.goto(address)
    block = drawn(page, "curves")
    before = seen(block)
    block.locator('[data-key="run"] label', has_text="B").locator("input").uncheck()
    page.wait_for_timeout(200)
    assert 0 < seen(block) < before
    assert [one for one in complaints if one != address and not one.startswith("data:")] == []
    page.close()


def test_a_click_on_the_map_shows_the_numbers_of_a_cell(visit: Callable[..., Any]) -> None:
    page = visit()
    block = drawn(page, "parity-map")
    numbers = block.locator(".cell")
    # It begins with what fails; another site and step are chosen, to come back by a click.
    assert "This comparison fails." in numbers.inner_text()
    block.locator('[name="site"]').select_option(label="forward 3 output")
    block.locator('[name="step"]').fill("0")
    assert "Within its bound." in numbers.inner_text()
    row = block.evaluate("(one) => one.figure.group.sites.indexOf('gradient 1.weight')")
    rows = block.evaluate("(one) => one.figure.group.sites.length")
    page.evaluate("document.querySelector('#plot-parity-map').scrollIntoView()")
    frame = block.locator(".plot .bk-CartesianFrame").first.bounding_box()
    page.mouse.click(
        frame["x"] + 0.75 * frame["width"], frame["y"] + frame["height"] * (row + 0.5) / rows
    )
    page.wait_for_timeout(300)
    words = " ".join(numbers.inner_text().split())
    assert words.startswith("This comparison fails.")
    for said in ("gradient 1.weight (BatchNorm1d)", "step 1", "0.001", "1.000 × 10⁻⁶",
                 "8.000 × 10⁻⁶", "125 times the bound"):  # fmt: skip
        assert said in words, words
    # The same by the keyboard: the slider goes back to the other certified step.
    slider = block.locator('[name="step"]')
    assert slider.input_value() == "1"
    slider.focus()
    page.keyboard.press("ArrowLeft")
    words = " ".join(numbers.inner_text().split())
    assert words.startswith("Within its bound.")
    assert "gradient 1.weight (BatchNorm1d) step 0" in words
    block.locator('[name="site"]').select_option(label="forward 0 output")
    assert "forward 0 output (Linear)" in numbers.inner_text()
    block.locator('[name="kind"]').select_option(value="whole")
    page.wait_for_timeout(300)
    assert "float64, the whole step" in numbers.inner_text()


def test_the_reader_chooses_dark_or_light_and_the_page_remembers(
    visit: Callable[..., Any],
) -> None:
    page = visit(color_scheme="light")
    ground = "getComputedStyle(document.body).backgroundColor"
    block = drawn(page, "curves")
    line = "(one) => one.figure.plot.renderers[0].glyph.line_color"
    light = page.evaluate(ground), str(block.evaluate(line))
    page.get_by_role("button", name="Dark page").click()
    dark = page.evaluate(ground), str(block.evaluate(line))
    assert light[0] != dark[0]
    assert light[1] != dark[1]
    page.reload()
    assert page.evaluate(ground) == dark[0]
    page.get_by_role("button", name="Light page").click()
    assert page.evaluate(ground) == light[0]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_without_scripts_there_are_pictures(visit: Callable[..., Any], scheme: str) -> None:
    page = visit(NARROW, java_script_enabled=False, color_scheme=scheme)
    for name in ("curves", "confusion"):
        assert page.locator(f"#figure-{name} > img").is_visible()
    assert page.locator(".interactive:visible").count() == 0
    assert page.locator("#figure-parity-map").is_hidden()
    assert page.locator("#theme").count() == 0
    # The contents open without a script.
    assert page.locator("#contents ul").first.is_hidden()
    page.locator('label[for="contents-open"]').click()
    assert page.locator("#contents ul").first.is_visible()


def test_on_paper_there_are_pictures(visit: Callable[..., Any]) -> None:
    page = visit()
    drawn(page, "curves")
    page.emulate_media(media="print")
    assert page.locator("#figure-curves > img").is_visible()
    assert page.locator(".interactive:visible").count() == 0
    assert page.locator("#contents").is_hidden()


def test_the_contents_mark_the_section_that_is_read(visit: Callable[..., Any]) -> None:
    page = visit()
    contents = page.locator("#contents")
    assert contents.bounding_box()["x"] == 0
    contents.get_by_role("link", name="4 Training set-up").click()
    page.wait_for_timeout(300)
    assert contents.locator("[aria-current]").inner_text() == "4 Training set-up"
    page.evaluate("scrollTo(0, 0)")
    page.wait_for_timeout(300)
    assert contents.locator("[aria-current]").count() == 0


def test_the_policy_lets_nothing_out_and_no_other_script_run(browser: Any, run: Path) -> None:
    page = browser.new_page()
    answered: list[str] = []
    refusals: list[str] = []
    page.goto((run / "report" / "report.html").as_uri())
    page.on("requestfinished", lambda request: answered.append(request.url))
    page.on("requestfailed", lambda request: refusals.append(request.failure))
    refused = page.evaluate(
        "fetch('http://127.0.0.1:9/').then(() => 'answered', (error) => error.name)"
    )
    assert refused == "TypeError"
    page.evaluate(
        """() => {
            document.body.append(Object.assign(new Image(), { src: "http://127.0.0.1:9/x.png" }));
            const script = document.createElement("script");
            script.textContent = "window.injected = true";
            document.body.append(script);
        }"""
    )
    page.wait_for_timeout(300)
    assert page.evaluate("window.injected === undefined")
    assert answered == []
    assert set(refusals) == {"csp"}
    page.close()
