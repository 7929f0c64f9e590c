"""The page in a real browser: it opens offline, works by keyboard, and is accessible."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from browser import Watched, address_of, chromium
from browser_payload import HOSTILE, Pool, make_payload, thumbnails, truth

from curate.config import Rules
from curate.outputs import Store
from curate.report.page import write_page

DESKTOP = {"width": 1280, "height": 900}
PHONE = {"width": 390, "height": 844}
SECTIONS = "overview distributions explorer galleries densities correlations sweep shards glossary"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any], Pool]:
    """A report on the disk, its payload, and the pool it is of."""
    folder = tmp_path_factory.mktemp("report")
    payload, cells, pool = make_payload(5, 1500, shards=260)
    write_page(Store(str(folder)), "", payload, cells)
    thumbnails(folder, 24)
    return folder, payload, pool


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report with a little of everything: what axe looks at takes it a millisecond an element."""
    folder = tmp_path_factory.mktemp("small")
    payload, cells, _ = make_payload(5, 300, shards=8, subsets=3, shares=[0.5])
    for gallery in payload["galleries"]:
        gallery["entries"] = gallery["entries"][:3]
    payload["near"] = {k: [ids[:1] for ids in near] for k, near in payload["near"].items()}
    write_page(Store(str(folder)), "", payload, cells)
    thumbnails(folder, 24)
    return folder


@pytest.fixture
def opened(browser: Any, made: tuple[Path, dict[str, Any], Pool]) -> Iterator[Watched]:
    """The report, freshly opened from the disk; nothing may have gone wrong by the end."""
    watched = Watched(browser, viewport=DESKTOP)
    watched.open(address_of(made[0]))
    yield watched
    assert watched.errors == []
    assert watched.strangers(made[0].resolve().as_uri()) == []
    assert watched.page.evaluate("window.HACKED") is None
    watched.close()


def number(text: str) -> int:
    return int(text.replace(",", ""))


def shown_counts(page: Any) -> dict[str, int]:
    """Reason -> samples as the page shows them."""
    rows = page.locator("#explorer .reasons tbody tr:not(.sum)")
    counts = {
        row.locator("th").inner_text(): number(row.locator("td").first.inner_text())
        for row in rows.all()
    }
    return {"kept": number(page.inner_text("#kept")), **counts}


def copied_rules(page: Any) -> Rules:
    return Rules.model_validate(yaml.safe_load(page.inner_text("#explorer pre.yaml"))["rules"])


# --- opening ----------------------------------------------------------------------------------


def test_every_section_is_drawn_from_the_disk(opened: Watched) -> None:
    page = opened.page
    assert page.title() == "first · curate report"
    for section in SECTIONS.split():
        assert page.locator(f"#{section}").is_visible()
        assert page.locator(f"#{section} :is(h1, h2)").first.inner_text()
    assert page.locator("#distributions figure [role=img] svg").count() == 4
    assert page.locator("#densities figure [role=img] svg").count() == 3
    assert page.locator("#explorer .slider").count() == 4
    assert page.locator(".slider .tag").all_inner_texts() == ["or width", "or CLIP score"]
    balance = page.inner_text("#overview .balance")
    assert balance.startswith("✓ Balances: ")
    assert balance.endswith("= 1,507")


def test_it_works_from_a_static_server(
    browser: Any, made: tuple[Path, dict[str, Any], Pool]
) -> None:
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Nothing: tests read the page."""

    handler = partial(Quiet, directory=str(made[0]))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        base = f"http://127.0.0.1:{server.server_port}/"
        watched = Watched(browser, viewport=DESKTOP)
        watched.open(f"{base}index.html")
        assert watched.errors == []
        assert watched.strangers(base) == []
        assert watched.page.locator("#explorer .slider").count() == 4
        watched.close()
        server.shutdown()


def test_a_folder_that_is_not_whole_says_so(
    browser: Any, made: tuple[Path, dict[str, Any], Pool], tmp_path: Path
) -> None:
    write_page(Store(str(tmp_path)), "", made[1], {})
    (tmp_path / "data" / "cells.js").unlink()
    watched = Watched(browser)
    watched.page.goto(address_of(tmp_path))
    assert "data/cells.js could not be read" in watched.page.inner_text(".notice[role=alert]")
    watched.close()


def test_runs_without_rules_reference_or_sweep_are_shown(browser: Any, tmp_path: Path) -> None:
    payload, _, _ = make_payload(1, 200, subsets=0, shares=[0.5])
    payload |= {"subset": None, "explorer": None, "correlations": None, "near": {}}
    payload["accounts"] |= {"kept": None, "dropped": []}
    payload["run"] |= {"model": None, "reference": None}
    for row in payload["shards"]["rows"]:
        row |= {"kept": None, "dropped": None}
    write_page(Store(str(tmp_path)), "", payload, {})
    watched = Watched(browser)
    watched.open(address_of(tmp_path))
    page = watched.page
    assert all("thumbs/" in error or "ERR_FILE_NOT_FOUND" in error for error in watched.errors)
    for section in ("explorer", "correlations", "sweep"):
        assert not page.locator(f"#{section}").is_visible()
        assert not page.locator(f'nav a[href="#{section}"]').is_visible()
    assert "No rules were applied yet" in page.inner_text("#overview")
    assert page.locator("#galleries .card").count() == 40
    watched.close()


# --- the explorer -----------------------------------------------------------------------------


def test_sliders_move_by_keyboard_and_counts_follow(
    opened: Watched, made: tuple[Path, dict[str, Any], Pool]
) -> None:
    page, (_, payload, pool) = opened.page, made
    assert shown_counts(page) == truth(pool, copied_rules(page))
    assert shown_counts(page)["kept"] == payload["accounts"]["kept"]
    sliders = page.locator("#explorer input[type=range]").all()
    for slider, keys in zip(
        sliders, (["ArrowRight"] * 3, ["ArrowLeft"] * 2, ["End"], ["Home"]), strict=True
    ):
        before = slider.get_attribute("aria-valuetext")
        slider.focus()
        for key in keys:
            page.keyboard.press(key)
        assert slider.get_attribute("aria-valuetext") != before
        assert shown_counts(page) == truth(pool, copied_rules(page))
    assert page.locator(".slider.moved").count() == 4
    kept = page.inner_text("#kept")
    announced = "(start) => document.getElementById('announcer').textContent.startsWith(start)"
    page.wait_for_function(announced, arg=f"{kept} kept, ")
    page.get_by_role("button", name="Reset").click()
    assert shown_counts(page)["kept"] == payload["accounts"]["kept"]
    assert page.locator(".slider.moved").count() == 0


def test_steps_of_a_slider_are_edges(opened: Watched) -> None:
    page = opened.page
    card = page.locator(".slider").first
    value = card.locator(".value strong")
    seen = [value.inner_text()]
    for _ in range(3):
        card.get_by_role("button", name="One step up").click()
        seen.append(value.inner_text())
    assert len(set(seen)) == 4
    for _ in range(3):
        card.get_by_role("button", name="One step down").click()
    assert value.inner_text() == seen[0]


def test_samples_beside_a_cut_follow_it(opened: Watched) -> None:
    page = opened.page
    card = page.locator(".slider").first

    def side(title: str) -> list[float]:
        cards = card.locator(".side", has_text=title).locator(".card")
        texts = cards.locator("dl div:has(dt:text-is('image informativeness')) dd:nth-of-type(1)")
        return [float(text) for text in texts.all_inner_texts()]

    def check() -> None:
        cut = float(card.locator(".value strong").inner_text())
        for title in ("Just below the cut", "Just above the cut"):  # drawn in frames of their own
            card.locator(".side", has_text=title).locator(".card").first.wait_for()
        below, above = side("Just below the cut"), side("Just above the cut")
        assert below
        assert above
        assert below == sorted(below)
        assert above == sorted(above)
        assert max(below) <= cut <= min(above)

    check()
    before = side("Just above the cut")
    for _ in range(6):
        card.get_by_role("button", name="One step up").click()
    page.wait_for_timeout(100)  # the frame in which galleries are drawn
    assert side("Just above the cut") != before
    check()
    assert set(card.locator(".side").first.locator(".verdict").all_inner_texts()) == {"dropped"}


def test_verdicts_and_crosses_follow_the_sliders(opened: Watched) -> None:
    page = opened.page
    lowest = page.locator("#galleries .card .verdict")
    assert set(lowest.all_inner_texts()) == {"dropped"}
    cross = page.locator("#densities .cross line").first
    at = cross.get_attribute("x1")
    for slider in page.locator("#explorer input[type=range]").all():
        slider.focus()
        page.keyboard.press("Home")  # no threshold
    assert set(lowest.all_inner_texts()) == {"kept"}
    assert page.locator("#densities .cross line").count() == 0
    page.locator("#explorer input[type=range]").first.focus()
    page.keyboard.press("PageUp")
    assert page.locator("#densities .cross line").first.get_attribute("x1") != at


def test_rules_are_copied_to_the_clipboard(
    browser: Any, made: tuple[Path, dict[str, Any], Pool]
) -> None:
    watched = Watched(browser, permissions=["clipboard-read", "clipboard-write"])
    watched.open(address_of(made[0]))
    page = watched.page
    page.locator("#explorer input[type=range]").first.focus()
    page.keyboard.press("ArrowRight")
    page.get_by_role("button", name="Copy rules").click()
    page.get_by_role("button", name="Copied").wait_for()
    text = page.evaluate("navigator.clipboard.readText()")
    assert truth(made[2], Rules.model_validate(yaml.safe_load(text)["rules"])) == shown_counts(page)
    watched.close()


# --- galleries and tables ---------------------------------------------------------------------


def test_galleries_have_tabs_filters_and_pictures(opened: Watched) -> None:
    page = opened.page
    gallery = page.locator("#galleries")
    gallery.scroll_into_view_if_needed()
    page.wait_for_function("() => document.querySelector('#gallery img').naturalWidth > 0")
    assert gallery.locator(".card").count() == 40
    assert gallery.locator(".copies").all_inner_texts() == ["× 17"]
    page.get_by_role("tab", name="Lowest").focus()
    page.keyboard.press("ArrowRight")
    assert page.get_by_role("tab", name="Highest").get_attribute("aria-selected") == "true"
    assert page.inner_text("#gallery h3") == "Highest image informativeness"
    page.get_by_role("tab", name="Rejected").click()
    assert gallery.locator(".card").count() == 1
    assert "the picture cannot be read" in gallery.inner_text()
    assert "no text: </script>" in gallery.inner_text()
    page.get_by_role("tab", name="Lowest").click()
    gallery.locator(".pick select").select_option(label="Lowest CLIP score")
    gallery.locator(".filters select").select_option(label="CLIP score")
    page.get_by_label("to", exact=True).fill("0.12")
    values = gallery.locator("dl div:has(dt:text-is('CLIP score')) dd:nth-of-type(1)")
    found = [float(text) for text in values.all_inner_texts()]
    assert 0 < len(found) < 40
    assert max(found) <= 0.12
    page.get_by_label("with words").fill("no caption says this")
    assert gallery.locator(".card").count() == 0
    assert "No sample of this gallery matches" in gallery.inner_text()


def test_details_of_a_sample_offer_the_command(opened: Watched) -> None:
    page = opened.page
    page.locator("#galleries .card").first.get_by_role("button").click()
    dialog = page.get_by_role("dialog")
    dialog.wait_for()
    command = dialog.locator("pre code").inner_text()
    assert re.fullmatch(r"curate explain 'runs/it'\\''s first' \d{9}", command)
    assert "image informativeness" in dialog.inner_text()
    page.keyboard.press("Escape")
    dialog.wait_for(state="hidden")


def test_tables_are_sorted_filtered_and_paged(opened: Watched) -> None:
    page = opened.page
    shards = page.locator("#shards")
    first = shards.locator("tbody tr:first-child th")
    assert first.inner_text() == "00000"
    assert shards.locator("tbody tr").count() == 50
    shards.get_by_role("button", name="Shard").click()
    shards.get_by_role("button", name="Shard").click()
    assert first.inner_text() == "00259"
    assert shards.locator("[aria-sort]").get_attribute("aria-sort") == "descending"
    shards.get_by_role("button", name="Next").click()
    assert first.inner_text() == "00209"
    shards.get_by_label("outliers only").check()
    assert shards.locator("tbody th").all_inner_texts() == ["00236", "00139", "00042"]
    shards.get_by_label("Name has").fill("004")
    assert shards.locator("tbody th").all_inner_texts() == ["00042"]
    sweep = page.locator("#sweep table.sortable").first
    sweep.get_by_role("button", name="Kept").click()
    kept = [number(text) for text in sweep.locator("tbody td:nth-of-type(1)").all_inner_texts()]
    assert kept == sorted(kept)
    assert len(kept) == 12
    link = sweep.locator("a").first
    assert re.fullmatch(r"\.\./subsets/grid-[\d.]+/uids\.npy", link.get_attribute("href"))


def test_every_chart_has_a_table(opened: Watched) -> None:
    page = opened.page
    for section, charts in (("distributions", 4), ("densities", 3)):
        tables = page.locator(f"#{section} details.data")
        assert tables.count() == charts
        tables.first.locator("summary").click()
        assert tables.first.locator("tbody tr").count() > 20


def test_axes_of_distributions_switch(opened: Watched) -> None:
    chart = opened.page.locator("#distributions figure .chart").first
    assert "linear axis" in chart.get_attribute("aria-label")
    opened.page.get_by_role("button", name="Logarithmic").click()
    chart = opened.page.locator("#distributions figure .chart").first
    assert "log axis" in chart.get_attribute("aria-label")


# --- looks ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("scheme", "viewport"), [("light", DESKTOP), ("dark", PHONE)])
def test_axe_finds_nothing(
    browser: Any, small: Path, scheme: str, viewport: dict[str, int]
) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs the dev extra")
    watched = Watched(browser, viewport=viewport, color_scheme=scheme, reduced_motion="reduce")
    watched.open(address_of(small))
    page = watched.page
    page.get_by_text("Densest bins as a table").first.click()
    only = {"resultTypes": ["violations"]}  # all it finds, without describing what is right
    results = axe.Axe().run(page, options=only)
    assert results.violations_count == 0, results.generate_report()
    page.locator("#galleries .card").first.get_by_role("button").click()
    results = axe.Axe().run(page, "dialog", only)
    assert results.violations_count == 0, results.generate_report()
    watched.close()


def test_the_theme_follows_the_system_and_the_switch(
    browser: Any, made: tuple[Path, dict[str, Any], Pool]
) -> None:
    watched = Watched(browser, color_scheme="dark")
    watched.open(address_of(made[0]))
    background = "() => getComputedStyle(document.body).backgroundColor"
    dark = watched.page.evaluate(background)
    watched.page.get_by_role("button", name="Light").click()
    light = watched.page.evaluate(background)
    assert dark == "rgb(18, 21, 24)"
    assert light == "rgb(247, 248, 249)"
    watched.page.emulate_media(media="print")
    assert watched.page.evaluate(background) == "rgb(255, 255, 255)"
    assert not watched.page.locator(".bar").is_visible()
    assert not watched.page.locator("input[type=range]").first.is_visible()
    watched.close()


@pytest.mark.parametrize("width", [360, 800, 1600])
def test_hostile_captions_are_text_and_break_no_layout(
    browser: Any, tmp_path: Path, width: int
) -> None:
    payload, cells, _ = make_payload(2, 300, shares=[0.1, 0.5], pictures=0)
    shown = [sample["id"] for sample in payload["samples"][: len(HOSTILE)]]
    entries = [{"sample": id_, "copies": 1} for id_ in shown]
    payload["galleries"][0] |= {"entries": entries, "title": HOSTILE[1], "about": HOSTILE[0]}
    payload["run"]["name"] = HOSTILE[3]
    payload["warnings"] = [*HOSTILE]
    payload["shards"]["rows"][0]["id"] = HOSTILE[3]
    write_page(Store(str(tmp_path)), "", payload, cells)
    watched = Watched(browser, viewport={"width": width, "height": 800})
    watched.open(address_of(tmp_path))
    page = watched.page
    captions = page.locator("#galleries .card .caption").all_text_contents()
    for text, caption in zip(HOSTILE, captions, strict=True):
        assert caption.rstrip("…") == (text or "no caption")
    assert page.locator("#galleries script, #galleries .card b").count() == 0
    assert page.evaluate("window.HACKED") is None
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    for card in page.locator("#galleries .card").all():
        box = card.bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width
    assert watched.errors == []
    watched.close()
