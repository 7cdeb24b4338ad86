"""How the page looks: light and dark, on paper, narrow and wide; and the policy that lets nothing else in."""

from __future__ import annotations

import base64
import hashlib
from fractions import Fraction

STEPS = (0, 1, 2, 5, 10, 20, 35, 50, 75, 100)
"""Ends of the steps of the colour scale, in percent; the first step is exactly 0."""

LIGHT_HEAT = ["eef1f4", "ffffcc", "ffeda0", "fed976", "feb24c", "fd8d3c", "fc5c3a", "d7191c", "b10026", "700023"]
DARK_HEAT = ["21262d", "321a5e", "54157a", "7b1d6f", "9d2764", "bd3553", "e2653c", "f08a2c", "f9b934", "fcf39a"]
LIGHT_INK = ["k", "k", "k", "k", "k", "k", "k", "w", "w", "w"]
DARK_INK = ["w", "w", "w", "w", "w", "w", "k", "k", "k", "k"]
INK = {"k": "14181d", "w": "ffffff"}

LIGHT = {
    "paper": "ffffff",
    "panel": "f6f8fa",
    "ink": "1b1f24",
    "faint": "545d68",
    "line": "c9d1d9",
    "edge": "7d8590",
    "certified": "116329",
    "falsified": "a40e26",
    "unknown": "7d4e00",
    "link": "0550ae",
    "mark": "fff1b8",
}
DARK = {
    "paper": "0d1117",
    "panel": "161b22",
    "ink": "e6edf3",
    "faint": "a2acb6",
    "line": "3d444d",
    "edge": "8b949e",
    "certified": "56d364",
    "falsified": "ff8e86",
    "unknown": "e3b341",
    "link": "79c0ff",
    "mark": "5c4408",
}

RULES = """
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.55 system-ui, sans-serif; }
main, header, footer { max-width: 68rem; margin: 0 auto; padding: 0 1rem; }
header { padding-top: 2rem; } footer { padding-bottom: 3rem; color: var(--faint); font-size: .9rem; }
h1 { font-size: 1.7rem; line-height: 1.3; margin: .5rem 0 1rem; } h2 { font-size: 1.35rem; margin: 3rem 0 .75rem; }
h3 { font-size: 1.08rem; margin: 2rem 0 .5rem; } h4 { font-size: 1rem; margin: 1.25rem 0 .4rem; }
h1, h2, h3, h4, p, li, figcaption, code { overflow-wrap: anywhere; }
td, th { overflow-wrap: break-word; }
p, ul { margin: .5rem 0; max-width: 48rem; } a { color: var(--link);
  } :focus-visible { outline: 3px solid var(--link); }
.kicker, .note, figcaption, .ends { color: var(--faint); font-size: .9rem; } .kicker { margin: 0; }
.ends { display: flex; justify-content: space-between; max-width: 640px; line-height: 1.2; }
.caption { margin-bottom: .25rem; }
.badge { display: inline-block; padding: .1rem .6rem; border: 2px solid; border-radius: 1rem; font-weight: 700;
  font-size: .9rem; white-space: nowrap; vertical-align: .1em; }
.certified { color: var(--certified); } .falsified { color: var(--falsified); } .unknown { color: var(--unknown); }
.panel { background: var(--panel); border: 1px solid var(--line); border-radius: .5rem; padding: .75rem 1rem;
  margin: 1rem 0; max-width: 52rem; }
.panel > :first-child { margin-top: 0; } .panel > :last-child { margin-bottom: 0; }
section.property { border-top: 1px solid var(--line); } section.property > h2 { margin-top: 1.5rem; }
.lead { font-size: 1.1rem; }
td code { display: block; min-width: 17ch; } .cells tbody th { text-align: left; }
.scroll { overflow-x: auto; max-width: 100%; margin: .75rem 0; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
td, th { border-bottom: 1px solid var(--line); padding: .3rem .8rem .3rem 0; text-align: left; vertical-align: top; }
thead th { color: var(--faint); font-weight: 600; font-size: .9rem; } tbody th { font-weight: 600; }
.cells td, .cells th { border: 1px solid var(--paper); padding: .25rem .4rem; text-align: center; min-width: 2.2rem;
  overflow-wrap: normal; }
code, pre { font: .88rem/1.5 ui-monospace, monospace; }
pre { background: var(--panel); border: 1px solid var(--line); border-radius: .5rem; padding: .6rem .8rem;
  margin: .5rem 0;
  white-space: pre-wrap; overflow-wrap: anywhere; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1rem; } dt { color: var(--faint);
  } dd { margin: 0; }
figure { margin: 0; } figcaption { margin-top: .3rem; } svg { display: block; max-width: 100%; height: auto; }
.tiles { display: flex; flex-wrap: wrap; gap: 1.25rem; margin: .75rem 0; }
.pair { display: grid; grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 1rem 2rem; }
.tiles > * { min-width: 0; max-width: 100%; } .tiles figcaption, .tiles .caption { max-width: 15rem; }
.tiles svg { overflow: visible; }
.tile svg { border: 1px solid var(--line); } .before-after { display: flex; gap: .4rem; align-items: center; }
.pixels { image-rendering: pixelated; } .outline { fill: none; stroke: var(--falsified); stroke-width: 2px;
  vector-effect: non-scaling-stroke; }
.frame { fill: none; stroke: var(--edge); stroke-width: 1px; vector-effect: non-scaling-stroke; }
svg text { fill: var(--faint); font: 13px system-ui, sans-serif; } svg text.figure { font-weight: 600; }
svg text.k { fill: #INK_K; } svg text.w { fill: #INK_W; } svg text.ink { fill: var(--ink); }
.axis { stroke: var(--edge); } .rule { stroke: var(--ink); stroke-width: 3; } .open { fill: var(--line); }
.within { fill: var(--link); } .risk { fill: var(--falsified); } .undecided { fill: var(--edge); }
.before-line { fill: none; stroke: var(--edge); } .after-line { fill: none; stroke: var(--falsified);
  stroke-width: 1.5; }
mark { background: var(--mark); color: var(--ink); font-weight: 600; padding: 0 .2em; border-radius: .2em; }
.legend { display: flex; flex-wrap: wrap; gap: .3rem .9rem; padding: 0; list-style: none; font-size: .85rem;
  color: var(--faint); } .legend li { display: flex; align-items: center; gap: .35rem; }
.legend svg { border: 1px solid var(--edge); } .texts p { margin: .15rem 0; }
@media (max-width: 44rem) { td, th { padding-right: .5rem; }
  .cells td, .cells th { min-width: 1.75rem; padding: .25rem .15rem; } .cells tbody th { white-space: nowrap; }
  .pair, dl { grid-template-columns: minmax(0, 1fr); } dd {
  margin-bottom: .4rem; } h1 { font-size: 1.35rem; } }
@media print { body { font-size: 11pt; } main, header, footer { max-width: none;
  } section.property { break-before: auto; }
  figure, tr, .panel, pre { break-inside: avoid; } .scroll { overflow: visible; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; } a { color: inherit; text-decoration: none; } }
"""


def step_of(rate: Fraction) -> int:
    """Which step of the colour scale a rate has."""
    return next(number for number, end in enumerate(STEPS) if 100 * rate <= end or end == STEPS[-1])


def legend_words() -> list[str]:
    """What each step means."""
    words = ["0 %", f"up to {STEPS[1]} %"]
    return words + [f"to {end} %" for end in STEPS[2:]]


def sheet() -> str:
    """The whole style sheet."""
    light = _variables(LIGHT, LIGHT_HEAT, LIGHT_INK)
    dark = _variables(DARK, DARK_HEAT, DARK_INK)
    heat = "".join(
        f".h{n} {{ fill: var(--h{n}); }} td.h{n} {{ background: var(--h{n}); color: var(--t{n}); }} "
        f"svg text.t{n} {{ fill: var(--t{n}); }}\n"
        for n in range(len(STEPS))
    )
    rules = RULES.replace("INK_K", INK["k"]).replace("INK_W", INK["w"])
    return (
        f":root {{ color-scheme: light dark; {light} }}\n"
        f"@media screen and (prefers-color-scheme: dark) {{ :root {{ {dark} }} }}\n{rules}{heat}"
    )


def policy(style: str) -> str:
    """The Content-Security-Policy: this style sheet, pictures inside the page, and nothing else."""
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; form-action 'none'"


def _variables(named: dict[str, str], heat: list[str], inks: list[str]) -> str:
    pairs = [f"--{name}: #{colour};" for name, colour in named.items()]
    pairs += [
        f"--h{n}: #{colour}; --t{n}: #{INK[ink]};" for n, (colour, ink) in enumerate(zip(heat, inks, strict=True))
    ]
    return " ".join(pairs)
