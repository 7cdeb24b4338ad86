"""Makes `result_fakes` importable and its values fixtures; real results of the examples; one browser."""

import os
import shutil
import sys
from pathlib import Path

import pytest

FAKES = str(Path(__file__).resolve().parents[1] / "result")
if FAKES not in sys.path:
    sys.path.insert(0, FAKES)

import result_fakes  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
RUNS = {
    "goals": ("digits/goals.vfx",),
    "fashion": ("fashion/no_backdoor.vfx", "--model", "clothes=examples/fashion/badnets.jld2"),
    "fashion_clean": ("fashion/no_backdoor.vfx",),
    "reviews": ("reviews/no_magic_word.vfx", "--model", "reviews_net=examples/reviews/badnets.jld2"),
    "reviews_clean": ("reviews/no_magic_word.vfx",),
    "credit": ("credit/no_magic_combination.vfx", "--model", "credit_net=examples/credit/badnets.jld2"),
}
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture
def problem():
    return result_fakes.image_problem()


@pytest.fixture
def per_input_problem():
    return result_fakes.image_problem(per_input=True)


@pytest.fixture
def falsified():
    return result_fakes.falsified_outcomes()


@pytest.fixture
def open_outcomes():
    return result_fakes.unknown_outcomes()


@pytest.fixture(scope="session")
def results(tmp_path_factory):
    """`result.json` of real runs, by name; all paths in them are absolute."""
    from verifluxa.inputs import Choice
    from verifluxa.verify import Request, run

    folder = tmp_path_factory.mktemp("results")
    found = {}
    for name, (spec, *options) in RUNS.items():
        models = dict(pair.split("=") for pair in options[1::2])
        chosen = Choice(models={key: str(ROOT / path) for key, path in models.items()})
        found[name] = run(Request(str(ROOT / "examples" / spec), chosen)).write(folder / name)
    return found


@pytest.fixture(scope="session")
def browser():
    """One headless Chromium; the tests are skipped where there is none."""
    playwright = pytest.importorskip("playwright.sync_api", reason="the package playwright is not installed")
    path = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if path is None:
        pytest.skip("no Chromium on this machine: apt-get install chromium")
    options = ["--no-sandbox"] if os.geteuid() == 0 else []
    with playwright.sync_playwright() as running:
        started = running.chromium.launch(executable_path=path, args=options)
        yield started
        started.close()
