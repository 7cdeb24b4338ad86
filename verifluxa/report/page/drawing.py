"""What all drawings share: the frame of an SVG, the colour scale, pixels as pictures inside the page."""

from __future__ import annotations

import base64

import numpy as np
from PIL import Image

from verifluxa.report.page.elements import Content, Markup, element
from verifluxa.report.page.style import STEPS, legend_words
from verifluxa.report.pictures import Levels, Pixels, png, shades


def svg(size: tuple[float, float], label: str, *content: Content, shown: tuple[float, float] | None = None) -> Markup:
    """A drawing.

    Args:
        size: width and height in its own units.
        label: what it shows, for those who do not see it.
        content: elements.
        shown: width and height in pixels, where those are others; it shrinks where there is less room.
    """
    width, height = shown or size
    return element(
        "svg",
        *content,
        viewBox=f"0 0 {size[0]:g} {size[1]:g}",
        width=f"{width:g}",
        height=f"{height:g}",
        role="img",
        aria_label=label,
    )


def text(words: str, x: float, y: float, anchor: str = "middle", look: str = "") -> Markup:
    """A text in a drawing."""
    return element("text", words, x=f"{x:g}", y=f"{y:g}", text_anchor=anchor, class_=look or None)


def legend() -> Markup:
    """The colour scale."""
    swatches = [
        element(
            "li",
            element(
                "svg",
                element("rect", width="14", height="14", class_=f"h{step}"),
                width="14",
                height="14",
                aria_hidden="true",
            ),
            words,
        )
        for step, words in zip(range(len(STEPS)), legend_words(), strict=True)
    ]
    return element("ul.legend", *swatches, aria_label="Colour scale: share of the inputs")


def picture(pixels: Pixels, levels: Levels) -> str:
    """The address of a picture that is the page's own: PNG in base64, one pixel for each pixel."""
    data = png(Image.fromarray(np.ascontiguousarray(shades(pixels, levels))))
    return "data:image/png;base64," + base64.b64encode(data).decode()
