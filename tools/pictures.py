"""Figures in stored notebooks: small enough to keep, and the same figure on any machine."""

from __future__ import annotations

import base64
import io

from PIL import Image, ImageChops, ImageStat

COLOURS = 32  # a plot has a handful of inks, and their blends at the edges
DIFFERENCE = 2.0  # mean over the pixels, of 255: what another machine's rounding may change


def small(picture: str) -> str:
    """A PNG, base64 as in a notebook, with few colours: about a fifth of its size."""
    image = Image.open(io.BytesIO(base64.b64decode(picture))).convert("RGB")
    buffer = io.BytesIO()
    image.quantize(COLOURS, dither=Image.Dither.NONE).save(buffer, "PNG", optimize=True)
    return base64.b64encode(buffer.getvalue()).decode()


def alike(one: str, other: str) -> bool:
    """Whether two such pictures show the same."""
    a, b = (Image.open(io.BytesIO(base64.b64decode(each))).convert("RGB") for each in (one, other))
    return a.size == b.size and max(ImageStat.Stat(ImageChops.difference(a, b)).mean) < DIFFERENCE
