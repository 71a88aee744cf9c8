"""What is written can be read: WCAG's contrast of 4.5, in both colour schemes, computed from the page's own style."""

from __future__ import annotations

import colorsys
import re
from importlib import resources
from typing import TypeAlias

import pytest

Colour: TypeAlias = tuple[float, float, float]

CSS = resources.files("aelastic.web").joinpath("static/page.css").read_text()
ENOUGH = 4.5


def variables(scheme: str) -> dict[str, str]:
    light, dark = (
        dict(re.findall(r"--([\w-]+): ([^;]+);", block)) for block in re.findall(r":root \{(.*?)\}", CSS, re.S)
    )
    return light if scheme == "light" else light | dark


def rgb(text: str) -> Colour:
    red, green, blue = (int(text[place : place + 2], 16) / 255 for place in (1, 3, 5))
    return red, green, blue


def luminance(colour: Colour) -> float:
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: Colour, other: Colour) -> float:
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("word", ["ink", "faint", "accent", "good", "warn", "bad"])
@pytest.mark.parametrize("paper", ["paper", "raised", "bad-paper"])
def test_words(scheme: str, word: str, paper: str) -> None:
    colours = variables(scheme)
    assert contrast(rgb(colours[word]), rgb(colours[paper])) >= ENOUGH


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("word", "ground"), [("paper", "accent"), ("paper", "bad"), ("ink", "mark")])
def test_words_on_what_is_filled(scheme: str, word: str, ground: str) -> None:
    colours = variables(scheme)
    assert contrast(rgb(colours[word]), rgb(colours[ground])) >= ENOUGH


def test_what_was_searched_for_has_one_colour_on_every_line() -> None:
    (style,) = re.findall(r"#log mark \{(.*?)\}", CSS)
    assert "color: var(--ink)" in style


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_number_of_every_rank(scheme: str) -> None:
    colours = variables(scheme)
    (saturation,) = re.findall(r"hsl\(var\(--hue\) (\d+)% var\(--rank-light\)\)", CSS)
    light = int(colours["rank-light"].removesuffix("%")) / 100
    for hue in range(360):
        number = colorsys.hls_to_rgb(hue / 360, light, int(saturation) / 100)
        assert contrast(number, rgb(colours["raised"])) >= ENOUGH, hue
