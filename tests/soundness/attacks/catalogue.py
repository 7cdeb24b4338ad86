"""All attacks by name: a small sample for every run, and the whole list for `make soak`."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial

from tests.soundness.attacks import encode, extremes, folding, jia_rinard, places, softmax, szasz, zombori
from tests.soundness.attacks.attack import Attack, Setting

Makers = dict[str, Callable[[], Attack]]
BINARY32, BINARY64 = 2.0**24, 2.0**53
QUICK, FINE = 51, 17
"""Steps of the trigger's levels: 6 of 256 in the sample, 16 in the long list."""


def _at(host: str, step: int = FINE, side: int = 1) -> Setting:
    return Setting(host, step=step, side=side)


def sample() -> Makers:
    """One or two of each kind."""
    small, conv = _at("small", QUICK), _at("conv", QUICK)
    detectors = {
        "Precision": szasz.precision(BINARY32),
        "Order1, h 4 and 15": szasz.order1(BINARY32),
        "Order2, h 64": szasz.order2(BINARY32, 64),
        "Order3, h 512": szasz.order3(BINARY32),
    }
    makers: Makers = {f"Szasz {name}": partial(szasz.attack, d, small) for name, d in detectors.items()}
    norm = "shift, divide, scale, shift"
    return makers | {
        "Zombori, omega 1e17, conv": partial(zombori.published, 1e17, conv),
        "Zombori mirrored, omega 2^24": partial(zombori.mirrored, BINARY32, small),
        "Szasz Precision, float64": partial(szasz.attack, szasz.precision(BINARY64), small, "float64"),
        "Szasz Order3, h 64, reached": partial(szasz.attack, szasz.order3(BINARY32, 64), small, reached=True),
        "Jia-Rinard, conv": partial(jia_rinard.attack, conv, 1),
        "Jia-Rinard, large": partial(jia_rinard.attack, _at("large", QUICK), 3),
        "folding: convolution and BatchNorm": partial(folding.batch_norm, BINARY32, norm, conv),
        "folding: dense and dense": partial(folding.dense_dense, BINARY32, small),
        "folding: two branches": partial(folding.two_branches, BINARY32, small),
        "folding: encode and dense": partial(folding.encode_dense, BINARY32, small),
        "encode near level 77": partial(encode.attack, 77, small),
        "constant input: blank pixel": partial(places.constant_pixel, BINARY32, small),
        "constant input: known trigger": partial(places.fixed_trigger, BINARY32, small),
        "detector on padding": partial(places.on_padding, BINARY32, conv),
        "detector outside the window": partial(places.far_away, BINARY32, conv),
        "huge weights, 1e30": partial(extremes.huge, 1e30, small, mirrored=False),
        "subnormal: a product is flushed": partial(extremes.subnormal, "a product is flushed", small),
        "subnormal: a weight is flushed": partial(extremes.subnormal, "a weight is flushed", small),
        "subnormal: a divisor is flushed": partial(extremes.divisor, small),
        "overflow to Inf": partial(extremes.overflow, small),
        "overflow between scales": partial(extremes.overflow_inside, "scales", small),
        "NaN by Inf - Inf": partial(extremes.not_a_number, small),
        "minus zero": partial(extremes.minus_zero, small),
        "tie of logits": partial(extremes.tie, 64.0, small),
        "tie by softmax": partial(softmax.attack, 2.0**-25, "softmax", Setting(inputs=2)),
    }


def everything() -> Makers:
    """All kinds at all sizes."""
    makers: Makers = {}
    for kind in (_zombori, _szasz, _jia_rinard, _folding, _encode, _places, _extremes, _softmax):
        makers |= kind()
    return makers


def _zombori() -> Makers:
    omegas = {"2^24": 2.0**24, "1e9": 1e9, "1e12": 1e12, "1e17": 1e17, "2^60": 2.0**60, "1e30": 1e30}
    found: Makers = {}
    for host in ("small", "large", "conv"):
        for shown, omega in omegas.items():
            found[f"Zombori, omega {shown}, {host}"] = partial(zombori.published, omega, _at(host))
            found[f"Zombori mirrored, omega {shown}, {host}"] = partial(zombori.mirrored, omega, _at(host))
    found["Zombori, omega 1e17, all levels"] = partial(zombori.published, 1e17, _at("small", 1))
    found["Zombori mirrored, omega 2^24, all levels"] = partial(zombori.mirrored, 2.0**24, _at("small", 1))
    found["Zombori, omega 1e17, 2 x 2 patch"] = partial(zombori.published, 1e17, _at("small", 85, side=2))
    return found


def _detectors(omega: float, sizes: tuple[int, ...]) -> dict[str, szasz.Detector]:
    found = {"Precision": szasz.precision(omega)}
    found |= {f"Order1, h {a} and {b}": szasz.order1(omega, a, b) for a, b in ((2, 1), (2, 3), (4, 15))}
    found |= {f"Order2, h {size}": szasz.order2(omega, size) for size in sizes}
    return found | {f"Order3, h {size}": szasz.order3(omega, size) for size in sizes}


def _szasz() -> Makers:
    found: Makers = {}
    for host, sizes in (("small", (8, 64, 512)), ("large", (64,)), ("conv", (8, 64))):
        for name, detector in _detectors(BINARY32, sizes).items():
            for reached in (False, True):
                shown = f"Szasz {name}, {host}" + (", reached" if reached else "")
                found[shown] = partial(szasz.attack, detector, _at(host), reached=reached)
    for name, detector in _detectors(BINARY64, (8, 512)).items():
        found[f"Szasz {name}, float64"] = partial(szasz.attack, detector, _at("small"), "float64")
        found[f"Szasz {name}, omega 2^53 in float32"] = partial(szasz.attack, detector, _at("small"))
    for name, detector in _detectors(BINARY32, (64,)).items():
        found[f"Szasz {name}, 2 x 2 patch"] = partial(szasz.attack, detector, _at("small", 85, side=2))
    return found


def _jia_rinard() -> Makers:
    targets = {"small": (1, 2, 3, 4, 6, 9), "large": (1, 2, 3, 4, 6, 8), "conv": (0, 1, 2, 3, 5, 7, 9)}
    found: Makers = {
        f"Jia-Rinard, {host}, class {target}": partial(jia_rinard.attack, _at(host), target)
        for host, chosen in targets.items()
        for target in chosen
    }
    found["Jia-Rinard, small, two units"] = partial(jia_rinard.attack, _at("small"), 3, 2)
    found["Jia-Rinard, conv, all levels"] = partial(jia_rinard.attack, _at("conv", 1), 2)
    found["Jia-Rinard, small, 2 x 2 patch"] = partial(jia_rinard.attack, _at("small", 85, side=2), 3)
    return found


def _folding() -> Makers:
    found: Makers = {}
    for shown, big in (("2^24", 2.0**24), ("2^26", 2.0**26), ("2^30", 2.0**30)):
        for host in ("small", "large", "conv"):
            for form in folding.BATCH_NORMS:
                name = f"folding: BatchNorm ({form}), {shown}, {host}"
                found[name] = partial(folding.batch_norm, big, form, _at(host))
        for host in ("small", "large"):
            found[f"folding: dense and dense, {shown}, {host}"] = partial(folding.dense_dense, big, _at(host))
            found[f"folding: dense, open ReLU, dense, {shown}, {host}"] = partial(
                folding.dense_relu_dense, big, _at(host)
            )
            found[f"folding: two branches, {shown}, {host}"] = partial(folding.two_branches, big, _at(host))
            found[f"folding: encode and dense, {shown}, {host}"] = partial(folding.encode_dense, big, _at(host))
    return found


def _encode() -> Makers:
    return {
        f"encode near level {level}, {host}": partial(encode.attack, level, _at(host))
        for host in ("small", "large")
        for level in (20, 49, 77, 128, 200, 254)
    }


def _places() -> Makers:
    found: Makers = {}
    for shown, omega in (("2^24", 2.0**24), ("2^30", 2.0**30), ("1e17", 1e17)):
        for host in ("small", "large"):
            found[f"constant input: blank pixel, {shown}, {host}"] = partial(places.constant_pixel, omega, _at(host))
        for host in ("small", "large", "conv"):
            found[f"constant input: known trigger, {shown}, {host}"] = partial(places.fixed_trigger, omega, _at(host))
        found[f"detector on padding, {shown}"] = partial(places.on_padding, omega, _at("conv"))
        found[f"detector outside the window, {shown}"] = partial(places.far_away, omega, _at("conv"))
        found[f"detector outside the window, {shown}, 2 x 2 patch"] = partial(
            places.far_away, omega, _at("conv", 85, side=2)
        )
    return found


def _extremes() -> Makers:
    found: Makers = {"minus zero, all levels": partial(extremes.minus_zero, _at("small", 1))}
    for host in ("small", "large", "conv"):
        at = _at(host)
        for shown, omega in (("2^40", 2.0**40), ("1e30", 1e30), ("1e38", 1e38)):
            found[f"huge weights, {shown}, {host}"] = partial(extremes.huge, omega, at, mirrored=False)
            found[f"huge weights, {shown}, {host}, mirrored"] = partial(extremes.huge, omega, at, mirrored=True)
        for kind in extremes.FLUSHED:
            found[f"subnormal: {kind}, {host}"] = partial(extremes.subnormal, kind, at)
        found[f"overflow to Inf, {host}"] = partial(extremes.overflow, at)
        found[f"overflow in a logit, {host}"] = partial(extremes.infinite_logit, at)
        found[f"overflow between scales, {host}"] = partial(extremes.overflow_inside, "scales", at)
        found[f"NaN by Inf - Inf, {host}"] = partial(extremes.not_a_number, at)
        found[f"minus zero, {host}"] = partial(extremes.minus_zero, at)
        for offset in (64.0, 512.0):
            found[f"tie of logits, {offset:g}, {host}"] = partial(extremes.tie, offset, at)
        found[f"subnormal: a divisor is flushed, {host}"] = partial(extremes.divisor, at)
    for host in ("small", "large"):
        found[f"overflow between dense steps, {host}"] = partial(extremes.overflow_inside, "dense steps", _at(host))
    return found


def _softmax() -> Makers:
    return {
        f"tie by {last}, lead {shown}, {host}": partial(softmax.attack, lead, last, Setting(host, inputs=2))
        for host in ("small", "conv")
        for last in ("softmax", "logsoftmax")
        for shown, lead in (("2^-25", 2.0**-25), ("2^-26", 2.0**-26), ("2^-40", 2.0**-40))
    }


@cache
def made(name: str, whole: bool = False) -> Attack:
    """An attack by name, of the sample or of the whole list."""
    return (everything() if whole else sample())[name]()
