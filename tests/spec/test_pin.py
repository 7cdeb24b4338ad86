"""Digests are written into a spec, and nothing else of it changes."""

from __future__ import annotations

import pytest

from tests.spec.sample import FILE, complete
from verifluxa.errors import SpecError
from verifluxa.spec.check import parse_spec
from verifluxa.spec.format import pin_spec

DIGEST = "sha256:" + "0f" * 32
OTHER = "sha256:" + "a1" * 32


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("data eval : digit", f"data eval : digit {{ digest = {DIGEST} }}"),
        ("data eval : digit {}", f"data eval : digit {{ digest = {DIGEST} }}"),
        ("data eval : digit { take = 1 }", f"data eval : digit {{ digest = {DIGEST} take = 1 }}"),
        ('data eval : digit { file = "a" take = 1 }', f'data eval : digit {{ file = "a" digest = {DIGEST} take = 1 }}'),
        (f"data eval : digit {{ digest = {OTHER} }} # c", f"data eval : digit {{ digest = {DIGEST} }} # c"),
        (
            'data eval : digit {\n    # which\n    file     = "a"  # c\n    take     = 1\n}',
            f'data eval : digit {{\n    # which\n    file     = "a"  # c\n    digest   = {DIGEST}\n    take     = 1\n'
            "}",
        ),
        ("data eval : digit {\n  take = 1\n}", f"data eval : digit {{\n  digest = {DIGEST}\n  take = 1\n}}"),
        ('data eval : digit { file = "a"\n}', f'data eval : digit {{ file = "a"\n  digest = {DIGEST}\n}}'),
        ('data eval : digit {\n  file="a"\n}', f'data eval : digit {{\n  file="a"\n  digest = {DIGEST}\n}}'),
    ],
)
def test_a_digest_is_written(before: str, after: str) -> None:
    text = complete(f"# odd   layout\n{before}")
    pinned = pin_spec(text, {"eval": DIGEST}, FILE)
    assert pinned == text.replace(before, after)
    assert parse_spec(pinned, FILE).spec.data[0].digest == DIGEST
    assert pin_spec(pinned, {"eval": DIGEST}, FILE) == pinned


def test_several_data_sets() -> None:
    text = complete("data eval : digit { take = 5 }\ndata more : digit")
    pinned = pin_spec(text, {"more": OTHER, "eval": DIGEST}, FILE)
    assert [data.digest for data in parse_spec(pinned, FILE).spec.data] == [DIGEST, OTHER]
    assert pin_spec(text, {}, FILE) == text


def test_an_unknown_data_set() -> None:
    with pytest.raises(SpecError) as raised:
        pin_spec(complete(""), {"evl": DIGEST}, FILE)
    assert (raised.value.code, raised.value.remedy) == ("VF1020", "did you mean `eval`?")


def test_windows_line_ends_and_a_byte_order_mark_are_kept() -> None:
    text = "\ufeff" + complete('data eval : digit {\n  file = "a"\n}').replace("\n", "\r\n")
    assert pin_spec(text, {"eval": DIGEST}, FILE) == text.replace('"a"\r\n', f'"a"\r\n  digest = {DIGEST}\r\n')
