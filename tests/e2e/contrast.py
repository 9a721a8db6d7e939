"""Whether all text in a page can be read: its contrast with the pixels behind it, by WCAG 2.2 (1.4.3 and 1.4.11).

The page is photographed with its text made transparent, so gradients, bars, SVG shapes and whatever else lies behind a
word count as they are drawn; the colour of each text node is the computed one, mixed by its opacity.
"""

from __future__ import annotations

import io
from typing import Any, NamedTuple

import numpy
from PIL import Image
from playwright.sync_api import Locator

TEXT, LARGE, SYMBOL = 4.5, 3.0, 3.0
_WORST = 10
"""Percent of the pixels behind a word that may be worse: a border or a line of a chart crosses it."""
_HIDE = """text, tspan { fill: transparent !important; stroke: transparent !important }
* { -webkit-text-fill-color: transparent !important; text-shadow: none !important; caret-color: transparent !important;
    transition: none !important; animation: none !important }"""
_NODES = """root => {
    const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
    const rgba = colour => {
        canvas.clearRect(0, 0, 1, 1);
        canvas.fillStyle = '#000';
        canvas.fillStyle = colour;
        canvas.fillRect(0, 0, 1, 1);
        return [...canvas.getImageData(0, 0, 1, 1).data];
    };
    const frame = root.getBoundingClientRect(), found = [];
    const clipped = (rect, element) => {
        let {left, top, right, bottom} = rect;
        for (let e = element; e && e !== root.parentElement; e = e.parentElement) {
            if (e !== root && getComputedStyle(e).overflow === 'visible') continue;
            const box = e.getBoundingClientRect();
            left = Math.max(left, box.left), right = Math.min(right, box.right);
            top = Math.max(top, box.top), bottom = Math.min(bottom, box.bottom);
        }
        return [left - frame.left, top - frame.top, right - frame.left, bottom - frame.top];
    };
    const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
        const element = walker.currentNode.parentElement, style = getComputedStyle(element);
        if (!walker.currentNode.data.trim() || !element.checkVisibility({visibilityProperty: true})) continue;
        if (['STYLE', 'SCRIPT', 'TITLE'].includes(element.tagName)) continue;
        const range = document.createRange();
        range.selectNodeContents(walker.currentNode);
        const rects = [...range.getClientRects()].map(rect => clipped(rect, element))
            .filter(([left, top, right, bottom]) => right - left > 2 && bottom - top > 2);
        let opacity = 1;
        for (let e = element; e; e = e.parentElement) opacity *= Number(getComputedStyle(e).opacity);
        const drawn = element instanceof SVGElement;
        if (drawn) opacity *= Number(style.fillOpacity);
        found.push({text: walker.currentNode.data.trim().slice(0, 60), rgba: rgba(drawn ? style.fill : style.color), opacity,
            size: parseFloat(style.fontSize), weight: Number(style.fontWeight), rects});
    }
    return found;
}"""


class Faint(NamedTuple):
    """A text that is hard to read, its ratio, and what it should be."""

    text: str
    ratio: float
    needed: float

    def __str__(self) -> str:
        return f"{self.text!r} has {self.ratio:.2f} of {self.needed}"


def faint(shown: Locator) -> list[Faint]:
    """The texts in the element whose contrast is too low; empty is good. An element without text is an error."""
    nodes = shown.evaluate(_NODES)
    assert nodes, "no text to look at"
    style = shown.page.add_style_tag(content=_HIDE)
    picture = numpy.asarray(Image.open(io.BytesIO(shown.screenshot())).convert("RGB"), dtype=float) / 255
    style.evaluate("element => element.remove()")
    ratios = [(node, ratio(node, picture)) for node in nodes if node["rects"]]
    return [Faint(node["text"], found, needed(node)) for node, found in ratios if found < needed(node) - 0.005]


def needed(node: dict[str, Any]) -> float:
    if not any(character.isalnum() for character in node["text"]):
        return SYMBOL
    return LARGE if node["size"] >= (18.66 if node["weight"] >= 700 else 24) else TEXT


def ratio(node: dict[str, Any], picture: numpy.ndarray) -> float:
    """The lowest of its lines; a line whose pixels are outside of the picture does not count."""
    colour = numpy.array(node["rgba"][:3]) / 255
    opacity = node["opacity"] * node["rgba"][3] / 255
    found = []
    for left, top, right, bottom in node["rects"]:
        behind = picture[round(top) : round(bottom), round(left) : round(right)].reshape(-1, 3)
        if len(behind):
            found.append(numpy.percentile(contrast(behind * (1 - opacity) + colour * opacity, behind), _WORST))
    return float(min(found, default=21))


def contrast(one: numpy.ndarray, other: numpy.ndarray) -> numpy.ndarray:
    lights = numpy.stack([luminance(one), luminance(other)])
    return (lights.max(axis=0) + 0.05) / (lights.min(axis=0) + 0.05)


def luminance(rgb: numpy.ndarray) -> numpy.ndarray:
    linear = numpy.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return linear @ numpy.array([0.2126, 0.7152, 0.0722])
