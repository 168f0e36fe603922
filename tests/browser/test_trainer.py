"""The panels that train in the built pages: the library's fingerprints, words and records."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from chromium import open_page
from playwright.sync_api import Browser, Locator, Page, Route, expect
from test_browser import AXE, serious_violations
from test_explorables import close

from minitrain.common.errors import UserError
from minitrain.kernel import binding
from minitrain.labs import curves, judgement, texts
from minitrain.labs.lab import Lab
from minitrain.labs.page_texts import PAGE
from minitrain.runs import engines, experiments, fingerprints
from minitrain.runs.run import read_result
from minitrain.training.config import (
    Config,
    assignment,
    flat,
    parse,
    patched,
    plain,
)
from minitrain.training.grid import short
from minitrain.training.loop import Training

LANGUAGES = ("en", "es")
LAB = Lab("18-the-run-that-remembers")
LAB_PAGE = f"labs/{{}}/{LAB.experiment}"
LADDER = "{}/phase-18/02-optimizer-and-schedule"
SWEEP = "{}/phase-18/07-choosing-lambda"
SWAP = "{}/phase-18/05-adamw-vs-adam-decoupling"
FIRST = "{}/how-to-use"
NUMBERS = "{}/why-your-numbers-match"
HEALTHY, BROKEN = LAB.config(LAB.control), LAB.config(LAB.broken)
SHORT = {"steps": 40, "eval_interval": 20, "schedule.warmup_steps": 10}
MINUTES = 60_000
KILOBYTE = 1000
OURS = re.compile(r"trainer|uPlot|charts|panel\.css|dom\.js|config\.js|judgement|runs\.js")
MOST_WEIGHT = 150 * KILOBYTE


@pytest.fixture(scope="module", params=LANGUAGES)
def language(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def opened(page: Page, files: str) -> Callable[[str], Locator]:
    """The panel of a page."""

    def open_panel(name: str) -> Locator:
        page.goto(f"{files}/{name}.html")
        panel = page.locator(".trainer-panel")
        expect(panel).to_be_visible()
        return panel

    return open_panel


def words(language: str) -> dict[str, str]:
    return {**texts.TEXTS[language], **PAGE[language]}


def press(panel: Locator, text: str) -> None:
    panel.get_by_role("button", name=text, exact=True).click()


def type_changes(panel: Locator, changes: dict[str, Any]) -> None:
    lines = "\n".join(f"{key}={json.dumps(value)}" for key, value in changes.items())
    panel.locator("textarea").fill(lines)


def result(panel: Locator, number: int = 1) -> Locator:
    return panel.locator(".trainer-runs > li").nth(number - 1).locator(".trainer-result")


def trained(config: Config) -> Training:
    """The same run by PyTorch."""
    engine = engines.pytorch()
    return engine.train(engine.start(config))


def saved(page: Page, panel: Locator, tmp_path: Path) -> Path:
    with page.expect_download() as download:
        panel.get_by_role("link", name="run.json").first.click()
    path = tmp_path / "run.json"
    download.value.save_as(path)
    return path


# ---------------------------------------------------------------------------- reading what is typed

# Whatever a reader may type into a field or a line.
TYPED = [
    *("1", "0", "-1", "+5", "007", "0x10", "1_000", "1:30", "12345678901234567890", "1" * 31),
    *("0.1", ".5", "5.", "1e-3", "1E5", "1e400", "-1e400", "1e-400", "0.30000000000000004"),
    *("1e16", "123456789012345.6", "1e15", "1.5e-5", "0.0001", "100000000000000000000.0"),
    *("1.0", "2.0", "-0", "-0.0", "1e22", "5e-324", "nan", "inf", "-inf", "Infinity", "1,5"),
    *("true", "false", "True", "yes", "null", "~", "", "none", "adam", "adamw", "'adam'", '"adam"'),
    *("[0.9, 0.95]", "[0.9]", "[]", "[0.9, 0.95, 1]", "[0.9, x]", "[1, 0.5]", "[0.9,0.95,]"),
    *("matrices", "no_embedding", "float32", "bfloat16", "it's", 'say "x"', "a b", "3 # three"),
    *("4294967295", "4294967296", "10000000", "10000001", "1025", "1e6", "1000001", "x" * 100),
]
KEYS = [
    *("seed", "steps", "batch_size", "model.n_head", "d_model", "dropout", "tied_embedding"),
    *("optimizer.name", "learning_rate", "betas", "eps", "weight_decay", "decay_mask"),
    *("gradient_clip", "warmup_steps", "final_fraction", "dtype", "grid_bits", "autocast"),
    *("optimizer", "model", "name", "weight_decy", "lerning_rate", "foo", "steps.x", "Seed"),
]
ANSWERS = [
    *(f"{key}={value}" for key in KEYS for value in TYPED),
    *("", "=", "=1", "seed", "  seed = 7 ", "seed==7", "seed=7=8", "optimizer.weight_decay = 0.3"),
]


def judged(answer: str, language: str) -> Any:
    """What the library makes of an answer: the error's line, or what is said of it."""
    try:
        found = judgement.judge(answer, HEALTHY, BROKEN)
    except UserError as error:
        return error.text(language)
    return [
        found.text,
        found.contradicted or found.hint,
        found.values(),
        [float(leaf) for leaf in binding.leaves(found.repaired)],
    ]


JUDGE = """([answers, about]) => {
  const reader = course.config.reader(about);
  const { config: broken, lab } = JSON.parse(atob(about.sealed));
  const healthy = { ...broken, ...lab.healthy };
  const { judge, contradicted, hint } = course.judgement;
  return answers.map((answer) => {
    try {
      const found = judge(reader, answer, healthy, broken);
      const said = contradicted(found) ?? hint(found, about.near);
      const values = { key: found.key };
      for (const side of ["typed", "healthy", "broken"]) {
        values[side] = reader.asTyped(found.key, found[side]);
      }
      return [found.text, said, values, reader.encoded(found.repaired)];
    } catch (problem) {
      if (!(problem instanceof course.config.Problem)) throw problem;
      return problem.message;
    }
  });
}"""


def description(page: Page) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(page.locator(".trainer > script").text_content() or "")
    return found


def test_answers_are_read_and_judged_as_the_library_does(
    opened: Callable[[str], Locator], page: Page, language: str
) -> None:
    opened(LAB_PAGE.format(language))
    found = page.evaluate(JUDGE, [ANSWERS, description(page)])
    for one in found:
        if isinstance(one, list):
            one[3] = list(map(float, one[3]))  # 1 and 1.0 are one number in JavaScript
    expected = [judged(answer, language) for answer in ANSWERS]
    # A config that would need gigabytes is refused by the page when it comes to train it.
    assert {
        answer: (ours, theirs)
        for answer, ours, theirs in zip(ANSWERS, expected, found, strict=True)
        if ours != theirs and "GiB" not in ours
    } == {}


def test_a_field_is_told_what_is_wrong_with_it(
    opened: Callable[[str], Locator], language: str
) -> None:
    panel = opened(LADDER.format(language))
    said = words(language)
    for key, value in (
        ("optimizer.learning_rate", "-1"),
        ("optimizer.learning_rate", "fast"),
        ("schedule.warmup_steps", "1.5"),
        ("schedule.warmup_steps", "240"),
        ("seed", "010"),
    ):
        field = panel.get_by_label(key, exact=True)
        before = field.input_value()
        field.fill(value)
        press(panel, said["train"])
        message = panel.locator(".trainer-message").inner_text()
        assert value in message
        assert key in message
        with pytest.raises(UserError) as wrong:
            put(key, value)
        assert message.split(": ")[-1] == wrong.value.text(language).split(": ")[-1]
        assert panel.locator(".trainer-runs > li").count() == 0
        field.fill(before)


def put(key: str, value: str) -> Config:
    """The panel's config with one value as it is typed."""
    name, typed = assignment(f"{key}={value}", "yours")
    base = experiments.load("18-learning-rate-range").config("peak-1.7e-2")
    return patched(base, {name: typed}, "yours")


# ----------------------------------------------------------------------------------------- training


def test_a_run_has_the_librarys_fingerprint_and_records(
    opened: Callable[[str], Locator], page: Page, language: str, tmp_path: Path
) -> None:
    said = words(language)
    panel = opened(LAB_PAGE.format(language))
    changes = {**SHORT, "model.dropout": 0.1, "optimizer.gradient_clip": 0.5, "seed": 7}
    type_changes(panel, changes)
    press(panel, said["train"])
    expect(result(panel)).to_contain_text(said["is_another"])
    expected = trained(patched(BROKEN, changes))
    expect(result(panel)).to_contain_text(short(expected.fingerprint()))

    run = read_result(saved(page, panel, tmp_path))
    assert run.config == expected.config
    assert run.fingerprint == expected.fingerprint()
    assert run.tokens == expected.tokens
    assert run.engine == "kernel"
    assert len(run.records) == len(expected.records)
    for ours, theirs in zip(run.records, expected.records, strict=True):
        assert ours.fingerprint == theirs.fingerprint
        assert close(flattened(ours.plain()), flattened(theirs.plain()))
        drawn = page.evaluate(
            "([record, names]) => names.map((name) => course.runs.quantity(record, name) ?? null)",
            [ours.plain(), curves.NAMES],
        )
        values = curves.values(theirs)
        assert close(drawn, [values.get(name) for name in curves.NAMES])


def flattened(values: Any, name: str = "") -> dict[str, Any]:
    if not isinstance(values, dict):
        return {} if name.endswith("fingerprint") else {name: values}
    return {k: v for key, one in values.items() for k, v in flattened(one, f"{name}.{key}").items()}


def test_paused_resumed_kept_and_removed(opened: Callable[[str], Locator], page: Page) -> None:
    said = words("es")
    panel = opened(LAB_PAGE.format("es"))
    changes = {**SHORT, "steps": 300, "eval_interval": 100}
    type_changes(panel, changes)
    press(panel, said["train"])
    name = said["run"].format(number=1)
    progress = panel.locator(".trainer-progress")
    pause = said["of_run"].format(action=said["pause"], run=name)
    resume = said["of_run"].format(action=said["resume"], run=name)
    expect(panel.locator("progress")).not_to_have_js_property("value", 0)
    press(panel, pause)
    expect(progress).to_have_text(re.compile(said["paused"].split("{")[0]))
    page.wait_for_timeout(500)  # what was under way when it was pressed is still told
    standing = progress.inner_text()
    page.wait_for_timeout(500)
    assert progress.inner_text() == standing
    press(panel, resume)
    fingerprint = short(trained(patched(BROKEN, changes)).fingerprint())
    expect(result(panel)).to_contain_text(fingerprint)

    page.reload()
    expect(result(panel)).to_contain_text(fingerprint)
    press(panel, said["of_run"].format(action=said["remove"], run=name))
    expect(panel.locator(".trainer-runs > li")).to_have_count(0)
    expect(panel.get_by_role("button", name=said["train"], exact=True)).to_be_focused()
    page.reload()
    expect(panel).to_be_visible()
    expect(panel.locator(".trainer-runs > li")).to_have_count(0)


def test_what_was_typed_and_begun_outlives_the_page(
    opened: Callable[[str], Locator], page: Page
) -> None:
    said = words("en")
    panel = opened(LAB_PAGE.format("en"))
    type_changes(panel, {**SHORT, "steps": 400})
    press(panel, said["train"])
    expect(panel.locator("progress")).not_to_have_js_property("value", 0)
    type_changes(panel, SHORT)
    panel.get_by_label(said["answer"]).fill("seed=1")
    page.once("dialog", lambda dialog: dialog.accept())
    page.reload()
    expect(result(panel)).to_have_text(said["unfinished"])
    expect(panel.locator("textarea")).to_have_value(re.compile("steps=40"))
    expect(panel.get_by_label(said["answer"])).to_have_value("seed=1")
    press(panel, said["of_run"].format(action=said["train"], run=said["run"].format(number=1)))
    fingerprint = short(trained(patched(BROKEN, {**SHORT, "steps": 400})).fingerprint())
    expect(result(panel)).to_contain_text(fingerprint, timeout=MINUTES)
    press(panel, said["reset"])
    expect(panel.locator("textarea")).to_have_value("")
    expect(panel.get_by_role("button", name=said["reset"])).to_be_hidden()


def test_a_run_that_is_stopped_is_no_result(opened: Callable[[str], Locator]) -> None:
    said = words("en")
    panel = opened(LAB_PAGE.format("en"))
    press(panel, said["train"])
    expect(panel.locator("progress")).not_to_have_js_property("value", 0)
    name = said["run"].format(number=1)
    press(panel, said["of_run"].format(action=said["stop"], run=name))
    expect(result(panel)).to_contain_text("Stopped at step")
    assert panel.get_by_role("link", name="run.json").count() == 0
    type_changes(panel, SHORT)  # another one can be trained at once
    press(panel, said["train"])
    expect(result(panel, 2)).to_contain_text(said["is_another"])


def test_what_the_page_does_not_train_it_refuses(opened: Callable[[str], Locator]) -> None:
    said = words("en")
    panel = opened(LAB_PAGE.format("en"))
    for number, (changes, reason) in enumerate(
        [
            ({"arithmetic.dtype": "float32"}, "covers"),
            ({"arithmetic.grid_bits": None}, "covers"),
            ({"arithmetic.autocast": "bfloat16"}, "covers"),
            ({"model.d_model": 1024, "model.n_layer": 20}, "too_much_memory"),
        ],
        start=1,
    ):
        type_changes(panel, changes)
        press(panel, said["train"])
        expect(result(panel, number)).to_have_text(said[reason])


def test_a_run_that_diverges_says_so(
    opened: Callable[[str], Locator], page: Page, tmp_path: Path
) -> None:
    said = words("en")
    panel = opened(LAB_PAGE.format("en"))
    changes = {**SHORT, "optimizer.learning_rate": 1e4, "schedule.warmup_steps": 0}
    type_changes(panel, changes)
    press(panel, said["train"])
    expect(result(panel)).to_contain_text(said["is_diverged"].split("{")[0])
    run = read_result(saved(page, panel, tmp_path))
    assert run.diverged or not run.last.train_loss <= run.records[0].train_loss


def test_an_old_browser_trains_without_vectors(
    browser: Browser, files: str, tmp_path: Path
) -> None:
    pages = open_page(browser, viewport={"width": 1000, "height": 800})
    page = next(pages)
    page.add_init_script("delete window.DecompressionStream")
    page.goto(f"{files}/{LAB_PAGE.format('en')}.html")
    panel = page.locator(".trainer-panel")
    type_changes(panel, SHORT)
    press(panel, "Train")
    expected = trained(patched(BROKEN, SHORT))
    expect(result(panel)).to_contain_text(short(expected.fingerprint()))
    assert page.locator("script[src*='trainer-kernel-old']").count() == 1
    assert list(pages) == []


def test_two_panels_on_one_page_keep_apart(browser: Browser, files: str) -> None:
    pages = open_page(browser, viewport={"width": 1000, "height": 800})
    page = next(pages)

    def doubled(route: Route) -> None:
        body = route.fetch().text() if route.request.url.startswith("http") else ""
        body = body or Path(route.request.url.removeprefix("file://")).read_text("utf-8")
        box = re.search(
            r'<div class="course-panel trainer docutils.*?</script>.*?</div>', body, re.S
        )
        assert box
        route.fulfill(body=body.replace(box[0], box[0] * 2), content_type="text/html")

    page.route(f"**/{LAB.experiment}.html", doubled)
    page.goto(f"{files}/{LAB_PAGE.format('en')}.html")
    panels = page.locator(".trainer-panel")
    expect(panels).to_have_count(2)
    for panel, seed in zip(panels.all(), (1, 2), strict=True):
        type_changes(panel, {**SHORT, "seed": seed})
        press(panel, "Train")
    for panel, seed in zip(panels.all(), (1, 2), strict=True):
        expected = trained(patched(BROKEN, {**SHORT, "seed": seed}))
        expect(result(panel)).to_contain_text(short(expected.fingerprint()))
    page.reload()
    expect(page.locator(".trainer-runs > li")).to_have_count(2)
    assert list(pages) == []


# --------------------------------------------------------------------------------------- the places


def test_the_first_page_ends_at_the_books_fingerprint(
    opened: Callable[[str], Locator], page: Page
) -> None:
    """And everything can be done without a mouse."""
    panel = opened(FIRST.format("en"))
    said = words("en")
    panel.get_by_role("button", name=said["train"], exact=True).focus()
    page.keyboard.press("Enter")
    name = said["run"].format(number=1)
    button = panel.get_by_role("button", name=said["of_run"].format(action="Pause", run=name))
    button.focus()
    page.keyboard.press("Space")
    page.keyboard.press("Space")
    control = short(trained_fingerprint())
    expect(result(panel)).to_contain_text(f"Fingerprint {control}", timeout=5 * MINUTES)
    expect(result(panel)).to_contain_text(said["is_book"].format(name="control seed=42"))
    page.add_script_tag(content=AXE)
    assert not serious_violations(page, None)


def trained_fingerprint() -> str:
    return fingerprints.read().fingerprints[f"{LAB.experiment} {LAB.control} seed=42"]


def test_lab_18_can_be_solved_with_nothing_but_the_page(
    opened: Callable[[str], Locator], language: str
) -> None:
    said = words(language)
    panel = opened(LAB_PAGE.format(language))
    answer = panel.get_by_label(said["answer"])
    verdict = panel.locator(".trainer-verdict")

    answer.fill("optimizer.betas=[0.9, 0.95]")
    press(panel, said["check"])
    expected = LAB.check("optimizer.betas=[0.9, 0.95]")
    sentence = said["same"].format(key="optimizer.betas", healthy="[0.9, 0.95]")
    expect(verdict).to_contain_text(expected.verdict)
    expect(verdict).to_contain_text(sentence)

    answer.fill("decay=1")
    press(panel, said["check"])
    expect(verdict).to_have_text(str(judged("decay=1", language)))

    answer.fill("weight_decay=0.1")
    answer.press("Enter")
    expect(verdict).to_contain_text(said["checking"])
    answer.fill("weight_decay=1")  # a second thought: the first answer is forgotten
    expect(verdict).to_have_class(re.compile("trainer-stale"))
    answer.press("Enter")
    expect(verdict).to_contain_text(said["fixed"], timeout=5 * MINUTES)
    control = short(trained_fingerprint())
    expect(verdict).to_contain_text(f"✓ optimizer.weight_decay=1   {control} = {control}")


def test_a_wrong_value_of_the_right_leaf_gets_a_direction(
    opened: Callable[[str], Locator],
) -> None:
    said = words("es")
    panel = opened(LAB_PAGE.format("es"))
    answer = panel.get_by_label(said["answer"])
    answer.fill("weight_decay=0.5")
    answer.press("Enter")
    verdict = panel.locator(".trainer-verdict")
    sentence = said["near_higher"].format(key="optimizer.weight_decay", typed="0.5")
    expect(verdict).to_contain_text(sentence, timeout=5 * MINUTES)


def test_a_link_brings_its_config(opened: Callable[[str], Locator], page: Page) -> None:
    panel = opened(SWAP.format("en"))
    panel.get_by_label("seed", exact=True).fill("7")
    panel.get_by_label("optimizer.name", exact=True).select_option("adam")
    press(panel, "Train")
    press(panel, "Stop: run 1")
    address = page.url.split("#")[0]
    link = "#train:18-regularisation/decay&optimizer.name=adam&seed=7"
    page.goto("about:blank")
    page.goto(address + link)
    expect(panel.get_by_label("seed", exact=True)).to_have_value("7")
    expect(panel.get_by_label("optimizer.name", exact=True)).to_have_value("adam")
    expect(panel.get_by_role("button", name="Train", exact=True)).to_be_focused()


def test_the_link_of_a_run_is_that_of_its_config(
    opened: Callable[[str], Locator], page: Page
) -> None:
    panel = opened(LAB_PAGE.format("en"))
    type_changes(panel, SHORT)
    press(panel, "Train")
    link = panel.locator("a[href^='#train']")
    expect(link).to_have_attribute(
        "href",
        f"#train:{LAB.experiment}/break&steps=40&eval_interval=20&schedule.warmup_steps=10",
    )
    panel.locator("textarea").fill("")
    link.click()
    said = words("en")
    expect(link).to_have_text(re.compile(f"{said['copied']}|{said['in_address']}"))
    assert page.url.endswith(str(link.get_attribute("href")))
    expect(panel.locator("textarea")).to_have_value("")  # it was copied, not followed
    page.reload()
    expect(panel.locator("textarea")).to_have_value(
        "steps=40\neval_interval=20\nschedule.warmup_steps=10"
    )


def test_a_run_of_ones_own_gets_its_place_in_the_map(opened: Callable[[str], Locator]) -> None:
    panel = opened(SWEEP.format("es"))
    rows = panel.locator(".trainer-map tbody tr")
    before = rows.count()
    panel.get_by_label("optimizer.learning_rate", exact=True).fill("0.03")
    press(panel, words("es")["train"])
    expect(panel.locator(".trainer-map strong")).to_have_count(1, timeout=5 * MINUTES)
    expect(rows).to_have_count(before + 1)
    expect(rows.last.locator("th")).to_have_text("0.03")


def test_without_javascript_the_page_says_so(browser: Browser, files: str) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    for name in (LADDER, LAB_PAGE):
        page.goto(f"{files}/{name.format('es')}.html")
        expect(page.locator(".trainer > .course-panel-off")).to_have_text(PAGE["es"]["off"])
    context.close()


# --------------------------------------------------------------------------------------- the weight


@pytest.fixture
def sizes(site: Path) -> Callable[[str], int]:
    return lambda name: (site / "_static" / name).stat().st_size


@pytest.mark.parametrize("name", [NUMBERS, LAB_PAGE])
def test_a_panel_weighs_little(
    opened: Callable[[str], Locator], page: Page, sizes: Callable[[str], int], name: str
) -> None:
    """Its scripts and styles, what the first run loads, and what the page itself carries."""
    panel = opened(name.format("en"))
    press(panel, "Train")
    press(panel, "Stop: run 1")
    assets = page.evaluate(
        """() => [...document.querySelectorAll("script[src], link[rel=stylesheet]")]
             .map((one) => (one.src || one.href).split("_static/")[1]?.split("?")[0])"""
    )
    others = {asset for asset in assets if asset and not OURS.search(asset)}
    ours = set(filter(None, assets)) - others
    assert {"trainer.js", "trainer-kernel.js", "vendor/uplot/uPlot.iife.min.js"} <= ours
    carried = len((page.locator(".trainer > script").text_content() or "").encode())
    assert sum(map(sizes, ours)) + carried < MOST_WEIGHT


def test_a_page_without_a_panel_loads_nothing_of_it(page: Page, files: str) -> None:
    page.goto(f"{files}/en/glossary.html")
    for name in ("trainer", "runs.js", "uPlot", "config.js", "judgement"):
        assert page.locator(f"script[src*='{name}'], link[href*='{name}']").count() == 0


def test_the_whole_config_travels(opened: Callable[[str], Locator], page: Page) -> None:
    """A page's config is the library's, however it is written down."""
    opened(LADDER.format("en"))
    about = description(page)
    config = page.evaluate("(text) => JSON.parse(atob(text)).config", about["sealed"])
    nested = page.evaluate(
        "(config) => JSON.parse(course.runs.runJson({ config, records: [] })).config", config
    )
    assert flat(parse(nested, "page")) == config
    assert plain(parse(nested, "page")) == nested
