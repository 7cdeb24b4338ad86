"""The specs on the page of texts, tables and series are sound: each block inside a small whole."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from verifluxa.spec.check import parse_spec
from verifluxa.spec.format import format_spec
from verifluxa.spec.triggers.synonyms import SynonymTrigger

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "texts-and-tables.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```vfx\n(.*?)```", PAGE, re.S)
SCALER = re.findall(r"```json\n(.*?)```", PAGE, re.S)[0]
REST = {
    "review": 'model net : review -> class("negative", "positive")\ndata reviews : review { file = "r.jsonl" }\n',
    "applicant": "",
    "wave": 'model net : wave -> class(2) { encode = level / 4 }\ndata waves : wave { file = "w.npz" }\n',
}


@pytest.mark.parametrize("number", [0, 2, 3])
def test_a_block_checks(number: int, tmp_path: Path) -> None:
    block = BLOCKS[number]
    (tmp_path / "vocab.txt").write_text("[PAD]\n[UNK]\nfine\n")
    (tmp_path / "scaler.json").write_text(SCALER)
    (space,) = re.findall(r"^input (\w+)", block, re.M)
    model, data, trigger = {
        "review": ("net", "reviews", "word"),
        "applicant": ("credit", "applicants", "combination"),
        "wave": ("net", "waves", "burst"),
    }[space]
    claim = f"property p {{ forall x in {data}, t in {trigger} assert class({model}(t(x))) == label(x) }}"
    text = f"spec 1\n{block}{REST[space]}{claim}\n"
    checked = parse_spec(text, str(tmp_path / "a.vfx"))
    assert checked.warnings == ()
    assert format_spec(format_spec(text)) == format_spec(text)


def test_synonyms_are_read_from_their_file(tmp_path: Path) -> None:
    (tmp_path / "vocab.txt").write_text("[PAD]\n[UNK]\nfilm\nfine\nmovie\n")
    (tmp_path / "synonyms.txt").write_text("film movie\n\n")
    text = f"spec 1\n{BLOCKS[0]}{REST['review']}{BLOCKS[1]}"
    for trigger in ("word", "rewording"):
        text += f"property {trigger} {{ forall x in reviews, t in {trigger} assert class(net(t(x))) == label(x) }}\n"
    checked = parse_spec(text, str(tmp_path / "a.vfx"))
    assert checked.warnings == ()
    found = checked.spec.properties[1].statement.trigger
    assert isinstance(found, SynonymTrigger)
    assert found.sets == ((2, 4),)


def test_the_last_block_draws_a_sample(tmp_path: Path) -> None:
    (tmp_path / "vocab.txt").write_text("[PAD]\n[UNK]\nfine\n")
    text = f"spec 1\n{BLOCKS[0]}{REST['review']}{BLOCKS[4]}"
    text += "property p { forall x in reviews_eval, t in word assert class(net(t(x))) == label(x) }\n"
    text += "property q { forall x in reviews, t in word assert class(net(t(x))) == label(x) }\n"
    (_, data) = parse_spec(text, str(tmp_path / "a.vfx")).spec.data
    assert (data.take, data.sample, data.seed, data.balanced) == (1000, 200, 1, True)
