"""Writes `docs/reference/layers.md` from the tables of the code: `python docs/make_layers.py`."""

from pathlib import Path

from verifluxa.cli.support_table import markdown

if __name__ == "__main__":
    (Path(__file__).with_name("reference") / "layers.md").write_text(markdown(), encoding="utf-8")
