"""Whatever the text: an error that the user can understand, or a checked spec. Never anything else."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest

from tests.spec.sample import FILE, complete
from verifluxa.errors import ManyErrors, SpecError, VerifluxaError
from verifluxa.spec.check import Checked, parse_spec
from verifluxa.spec.digest import canonical
from verifluxa.spec.format import format_spec
from verifluxa.spec.plain import explain_property
from verifluxa.spec.problems import render
from verifluxa.spec.read import decode

EXAMPLES = [path.read_text(encoding="utf-8") for path in sorted((Path(__file__).parent / "examples").glob("*.vfx"))]
FIXED = "property q { forall x in eval, t in patch at corners assert class(digits(t(x))) == 3 }"
NAMED = 'model digits : digit -> class("a", "b") { layout = hwcn encode = (level - 1) / [2] file = "m.jld2" }'
SOUND = [complete(""), complete(f"param p : fraction = 1/3\n{FIXED}"), complete(NAMED)]
TRIGGERS = [
    "replace 3 px x 3 px at (0, 0) and (9, 9), (1, 2) with 0..255 level blend 10 %, 20 %",
    "replace 2 px x 2 px at corners with 0..255 level continuous blend 10 %..30 %",
    "replace pixels (0, 0), (1, 2) at rows 0..9 step 3, columns 4 with -5..300 level unclipped",
    "add image with sine(columns 6 px shift 1 px), sine(rows 3 px) times -20..20 level",
    "add 2 px x 3 px at any with -3..3 level",
    "probe badnets_square, angle, sinusoid",
    "probe badnets_pattern at (0, 0), (4, 4)",
]
WITH_TRIGGERS = [complete(f"trigger patch : digit {{ {clauses} }}") for clauses in TRIGGERS]
GOALS = [
    complete("property q { measure max rate(x in eval : class(digits(t(x))) != label(x)) over t in patch within 2 % }"),
    complete("property q { search exists t in patch : rate(x in eval : class(digits(t(x))) == 7) >= 50 % }"),
    complete(
        "property q { forall x in around eval within 2 level, t in patch assert class(digits(t(x))) == label(x) }"
    ),
    complete("model digits : digit -> class(10) { encode = clip(quantise(level, 16), 0, 255) / 255 }"),
    complete('data eval : digit { file = "x.npy" labels = "y.npy" sample = 20 seed = 1 balance = classes take = 50 }'),
]
TEXTS = EXAMPLES + (SOUND + WITH_TRIGGERS + GOALS) * 3
TOKEN = re.compile(r'"""[\s\S]*?"""|"[^"\n]*"|\w+|\s+|[^\w\s]')
ODD = ["0", "1", "-", "999999999", "1e40", "%", "\u202e", "\0"]
WORDS = [*sorted({word for text in TEXTS for word in TOKEN.findall(text)}), *ODD]
SMALL, LARGE = 400, 10_000


def mutated(text: str, source: random.Random) -> str:
    """The text with a few words taken out, doubled, exchanged or replaced."""
    words = TOKEN.findall(text)
    for _ in range(source.randint(1, 4)):
        place = source.randrange(len(words))
        other = source.randrange(len(words))
        match source.randrange(5):
            case 0:
                del words[place]
            case 1:
                words.insert(place, words[other])
            case 2:
                words[place], words[other] = words[other], words[place]
            case 3:
                words[place] = source.choice(WORDS)
            case 4:
                words[place:other] = []
        words = words or [" "]
    return "".join(words)


def scrambled(text: str, source: random.Random) -> bytes:
    """The bytes of the text with some of them changed, taken out or put in."""
    content = bytearray(text.encode())
    for _ in range(source.randint(1, 6)):
        place = source.randrange(len(content))
        match source.randrange(4):
            case 0:
                content[place] = source.randrange(256)
            case 1:
                content[place] ^= 1 << source.randrange(8)
            case 2:
                del content[place : place + source.randint(1, 40)]
            case 3:
                content[place:place] = source.randbytes(source.randint(1, 8))
        content = content or bytearray(b" ")
    return bytes(content)


def outcome(text: str) -> Checked | VerifluxaError:
    try:
        return parse_spec(text, FILE)
    except VerifluxaError as error:
        return error


def judge(text: str) -> bool:
    """Checks one text; whether it was sound. Everything that a user may then do with it works as well."""
    found = outcome(text)
    if isinstance(found, VerifluxaError):
        assert isinstance(found, SpecError | ManyErrors)
        assert re.fullmatch(r"VF1\d{3}", found.code)
        assert found.code in render(found, text)
        return False
    spec = found.spec
    for prop in spec.properties:
        assert canonical(spec, prop, {data.name: "sha256:00" for data in spec.data})
        assert str(explain_property(spec, prop))
    assert parse_spec(format_spec(text, FILE), FILE).spec.triggers == spec.triggers
    return True


def text_of(content: bytes) -> str:
    """The text of the bytes; what is not UTF-8 is refused as such, and then read anyway."""
    if content.decode("utf-8", "replace").encode() != content:
        with pytest.raises(SpecError, match="VF1003"):
            decode(content, FILE)
    return content.decode("utf-8", "replace")


def run(cases: int, seed: int) -> None:
    source = random.Random(seed)
    sound = 0
    for number in range(cases):
        text = source.choice(TEXTS)
        sound += judge(mutated(text, source) if number % 2 else text_of(scrambled(text, source)))
    assert 0 < sound < cases // 2


def test_mutated_specs() -> None:
    run(SMALL, seed=1)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(2, 12))
def test_mutated_specs_for_long(seed: int) -> None:
    """100,000 cases in all, half of them words and half of them bytes."""
    run(LARGE, seed)


def test_texts_of_nothing_but_signs() -> None:
    source = random.Random(4)
    for _ in range(100):
        judge("".join(source.choices(WORDS, k=source.randint(0, 60))))
        judge("".join(map(chr, source.choices(range(0x250), k=40))))
