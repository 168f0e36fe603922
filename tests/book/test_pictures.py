"""Stored figures are small, and compared as pictures, not as bytes."""

from __future__ import annotations

import base64
import io

from PIL import Image, ImageDraw

from pictures import alike, small


def plot(line: tuple[int, int, int, int], colour: str = "#0072B2", width: int = 400) -> str:
    image = Image.new("RGB", (width, 300), "white")
    ImageDraw.Draw(image).line(line, fill=colour, width=4)
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def test_a_smaller_picture_shows_the_same() -> None:
    picture = plot((0, 0, 400, 300))
    assert alike(picture, small(picture))
    assert len(small(picture)) <= len(picture)


def test_another_curve_is_another_picture() -> None:
    picture = plot((0, 0, 400, 300))
    assert not alike(picture, plot((0, 300, 400, 0)))
    assert not alike(picture, plot((0, 0, 400, 300), width=410))
