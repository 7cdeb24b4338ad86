"""The pages in a headless Chromium: nothing is loaded, nothing is wide, everything has a name, all text is legible."""

import sys
from itertools import pairwise
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from page_tools import changed, many_places

from verifluxa.report.page.compare import comparison
from verifluxa.report.page.page import page
from verifluxa.report.story import account

WIDTHS = (360, 1280)
THEMES = {"light": (255, 255, 255), "dark": (13, 17, 23)}
LEAST_CONTRAST = 4.5

CONTRASTS = """() => {
  const parts = c => (c.match(/[\\d.]+/g) || []).map(Number);
  const light = c => { const f = v => { v /= 255; return v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4 };
    return .2126 * f(c[0]) + .7152 * f(c[1]) + .0722 * f(c[2]) };
  const behind = e => { for (; e; e = e.parentElement) { const c = parts(getComputedStyle(e).backgroundColor);
    if (c.length === 3 || c[3] > 0) return c } return [255, 255, 255] };
  const found = [];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let n; n = walk.nextNode();) {
    const e = n.parentElement;
    if (!n.textContent.trim() || e.closest('svg')) continue;
    const [a, b] = [light(parts(getComputedStyle(e).color)), light(behind(e))].sort((x, y) => y - x);
    const ratio = (a + .05) / (b + .05);
    if (ratio < 4.5) found.push([n.textContent.trim().slice(0, 40), ratio]);
  }
  return found;
}"""

NAMELESS = """() => [...document.querySelectorAll('[role=img], [role=region], a, table, img, nav, ul[aria-label]')]
  .filter(e => !(e.getAttribute('aria-label') || e.getAttribute('alt') || e.textContent.trim())).length"""

OUTSIDE = """() => [...document.querySelectorAll('body *')].filter(e => !e.closest('.scroll') && !e.closest('svg')
  && e.getBoundingClientRect().right > document.documentElement.clientWidth + 1).map(e => e.outerHTML.slice(0, 80))"""


@pytest.fixture(scope="session")
def pages(results, tmp_path_factory):
    """The pages of the examples, of a comparison, of a large result, and of one whose files are gone."""
    folder = tmp_path_factory.mktemp("pages")
    large = changed(results["goals"], folder / "large.json", many_places)
    gone = changed(results["fashion"], folder / "gone.json", lambda value: value["spec"].update(path="gone.vfx"))
    texts = {name: page(account(path)) for name, path in results.items()}
    texts |= {"large": page(account(large)), "gone": page(account(gone))}
    texts["images compared"] = comparison(account(results["fashion_clean"]), account(results["fashion"]))
    texts["texts compared"] = comparison(account(results["reviews_clean"]), account(results["reviews"]))
    for name, text in texts.items():
        (folder / f"{name}.html").write_text(text, encoding="utf-8")
    return {name: folder / f"{name}.html" for name in texts}


PAGES = ["goals", "fashion", "reviews", "reviews_clean", "credit", "large", "gone", "images compared", "texts compared"]


@pytest.fixture(scope="session")
def tab(browser):
    """A tab that is used again, since a new one takes longer than a page."""
    return browser.new_page()


@pytest.mark.parametrize("name", PAGES)
def test_a_page_in_a_browser(tab, pages, name):
    said, asked = [], []
    tab.on("console", lambda message: said.append(message.text))
    tab.on("pageerror", lambda error: said.append(str(error)))
    tab.on("request", lambda request: asked.append(request.url[:300]))
    tab.goto(pages[name].as_uri())
    for width in WIDTHS:
        tab.set_viewport_size({"width": width, "height": 900})
        assert tab.evaluate("document.documentElement.scrollWidth") <= width
        assert tab.evaluate(OUTSIDE) == []
    for theme, paper in THEMES.items():
        tab.emulate_media(color_scheme=theme)
        assert tab.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb({}, {}, {})".format(*paper)
        assert tab.evaluate(CONTRASTS) == []
    assert tab.evaluate(NAMELESS) == 0
    assert not said
    assert [url for url in asked if not url.startswith("data:")] == [pages[name].as_uri()]


def test_what_a_screen_reader_hears(tab, pages):
    tab.goto(pages["fashion"].as_uri())
    heard = tab.locator("body").aria_snapshot()
    assert 'heading "Refuted: one and the same trigger misleads' in heard
    assert "[level=1]" in heard
    assert 'img "Trigger of 4 x 4 pixels, first pixel at row 1, column 23' in heard
    assert "with the trigger: Sandal" in heard
    assert tab.locator("h1").count() == 1
    levels = [
        int(name[1]) for name in tab.evaluate("[...document.querySelectorAll('h1,h2,h3,h4')].map(e => e.tagName)")
    ]
    assert all(after - before <= 1 for before, after in pairwise(levels))


def test_on_paper_it_is_light_whatever_the_theme(tab, pages):
    tab.goto(pages["goals"].as_uri())
    tab.emulate_media(media="print", color_scheme="dark")
    assert tab.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    tab.emulate_media(media="screen")


def test_pictures_are_drawn_and_the_policy_lets_nothing_else_in(tab, pages):
    """An input's picture has its pixels; a script and a style that slip in are not obeyed."""
    tab.goto(pages["fashion"].as_uri())
    size = tab.evaluate("""async () => { const e = document.querySelector('image'); const i = new Image();
      i.src = e.getAttribute('href'); await i.decode(); return [i.naturalWidth, i.naturalHeight] }""")
    assert size == [28, 28]
    slipped_in = '<p style="color: red" id="x">x</p><script>document.title = "!"</script></main>'
    spoilt = pages["fashion"].with_name("spoilt.html")
    spoilt.write_text(pages["fashion"].read_text().replace("</main>", slipped_in))
    tab.goto(spoilt.as_uri())
    assert tab.title() != "!"
    assert tab.evaluate("getComputedStyle(document.getElementById('x')).color") != "rgb(255, 0, 0)"
