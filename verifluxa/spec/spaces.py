"""Input spaces: `image(28 px, 28 px, 1 ch) of 0..255 level`, `series(64 step, 3 ch) of -4..4 level`."""

from __future__ import annotations

from verifluxa.errors import SpecError
from verifluxa.spec.blocks import Known, settings
from verifluxa.spec.names import did_you_mean
from verifluxa.spec.problems import Problems
from verifluxa.spec.space_types import SeriesSpace, TableSpace, TokenSpace
from verifluxa.spec.spec import ImageSpace
from verifluxa.spec.syntax import InputSyntax
from verifluxa.spec.tables import check_table
from verifluxa.spec.terms import Number
from verifluxa.spec.tokens import check_tokens
from verifluxa.spec.units import level_range, measured, whole

MAX_SIDE = 16_384
"""Pixels of one side."""
MAX_VALUES = 2**24
"""Values of one input: 16 million, a 2,360 x 2,360 colour image."""
MAX_LEVEL = 2**24
"""Up to here whole numbers are exact in float32."""

KINDS = ("image", "tokens", "table", "series")
MAX_STEPS, MAX_CHANNELS = 65_536, 4096
_EXAMPLE = "`image(28 px, 28 px, 1 ch) of 0..255 level`"


def check_space(syntax: InputSyntax, problems: Problems) -> ImageSpace | TokenSpace | TableSpace | SeriesSpace:
    """The input space of a declaration.

    Raises:
        SpecError: VF1026 for an unknown kind, VF1040 when the shape is not height, width and channels, VF1030 to
            VF1033 and VF1038 for its numbers, VF1044 when levels are not whole; what `tokens` and `tables`
            say of theirs; VF1091 when the shape of a series is not steps and channels, or its range is missing.
    """
    match syntax.kind.text:
        case "image":
            return _image(syntax, problems)
        case "tokens":
            return check_tokens(syntax, problems)
        case "table":
            return check_table(syntax, problems)
        case "series":
            return _series(syntax, problems)
    raise SpecError(
        "VF1026",
        f"there is no kind of input called `{syntax.kind.text}`",
        place=syntax.kind.span,
        expected=_EXAMPLE,
        remedy=did_you_mean(syntax.kind.text, KINDS),
    )


def _image(syntax: InputSyntax, problems: Problems) -> ImageSpace:
    settings(syntax.block, Known("image space", ()), problems)
    height, width, channels = _shape(syntax)
    low, high = _levels(syntax)
    return ImageSpace(syntax.name.text, height, width, channels, low, high)


def _shape(syntax: InputSyntax) -> tuple[int, int, int]:
    numbers = [argument.value for argument in syntax.arguments if argument.key is None]
    sizes = [number for number in numbers if isinstance(number, Number)]
    if len(sizes) != 3 or len(syntax.arguments) != 3:
        raise SpecError(
            "VF1040",
            "the shape of an image is its height, width and number of channels",
            place=syntax.kind.span,
            expected=_EXAMPLE,
            remedy="a grey image has `1 ch`, a colour image `3 ch`",
        )
    units = (("px", "the height"), ("px", "the width"), ("ch", "the number of channels"))
    height, width, channels = (
        whole(measured(number, unit, what), number.span, what, 1, MAX_SIDE)
        for number, (unit, what) in zip(sizes, units, strict=True)
    )
    if height * width * channels > MAX_VALUES:
        raise SpecError(
            "VF1038",
            f"an image of {height * width * channels:,} values is too large",
            place=syntax.kind.span,
            expected=f"at most {MAX_VALUES:,} values",
        )
    return height, width, channels


def _levels(syntax: InputSyntax) -> tuple[int, int]:
    if syntax.levels is None:
        raise SpecError(
            "VF1040",
            "the range of the pixel levels is missing",
            place=syntax.span,
            expected=_EXAMPLE,
            remedy="say what the data file holds, before any scaling: usually `of 0..255 level`",
        )
    low, high = level_range(syntax.levels, "the range of levels")
    if low.denominator != 1 or high.denominator != 1 or low == high or max(abs(low), abs(high)) > MAX_LEVEL:
        raise SpecError(
            "VF1044",
            "pixel levels are whole numbers, at least two of them",
            place=syntax.levels.span,
            expected="`0..255 level`",
            remedy="scaling such as `level / 255` belongs into the model's `encode`",
        )
    return int(low), int(high)


def _series(syntax: InputSyntax, problems: Problems) -> SeriesSpace:
    settings(syntax.block, Known("series", ()), problems)
    sizes = [argument.value for argument in syntax.arguments if argument.key is None]
    numbers = [size for size in sizes if isinstance(size, Number)]
    if len(numbers) != 2 or len(syntax.arguments) != 2 or syntax.levels is None:
        raise SpecError(
            "VF1091",
            "a series is declared with its steps, its channels and the range of its values",
            place=syntax.kind.span,
            expected="`series(64 step, 3 ch) of -4..4 level`",
        )
    steps = whole(measured(numbers[0], "step", "the length"), numbers[0].span, "the length", 1, MAX_STEPS)
    what = "the number of channels"
    channels = whole(measured(numbers[1], "ch", what), numbers[1].span, what, 1, MAX_CHANNELS)
    low, high = level_range(syntax.levels, "the range of values")
    return SeriesSpace(syntax.name.text, steps, channels, low, high, None)
