"""The concept map: which page builds on which, drawn from the prerequisites on the cards.

``{concept-map}`` draws the pages of the page's language that a card connects: prerequisites on
top, an arrow to each page that needs them. Pages and arrows are links, so that the map works with a
keyboard; the list below the drawing says the same in words.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from itertools import count, pairwise
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError
from sphinx.transforms.post_transforms import SphinxPostTransform

from .card import required_pages
from .claims import short_name
from .generated import Part, Place, link, pages_in_order, register

Edge = tuple[str, str]

WIDTH, LINE, PADDING = 176, 17, 10
CHARACTERS = 21
"""About as many as fit into a box."""
GAP_X, GAP_Y = 22, 58
LANE = 14
"""Width kept free for an arrow that passes a layer."""
SWEEPS = 24


# Layout ------------------------------------------------------------------------------------------


@dataclass
class Item:
    """A page in its layer, or a point at which an arrow passes one."""

    name: str
    width: float
    layer: int
    above: list[Item] = field(default_factory=list)
    below: list[Item] = field(default_factory=list)
    x: float = 0.0
    """The centre."""


@dataclass
class Layout:
    """Where everything goes: pages by name, and for each arrow the points that it passes."""

    layers: list[list[Item]]
    items: dict[str, Item]
    routes: dict[Edge, list[Item]]
    width: float


def layers_of(names: Sequence[str], edges: Sequence[Edge]) -> dict[str, int]:
    """The layer of each page: below all pages that it builds on.

    >>> layers_of("abc", [("a", "b"), ("b", "c"), ("a", "c")])
    {'a': 0, 'b': 1, 'c': 2}
    """
    layer = dict.fromkeys(names, 0)
    for _ in names:
        moved = False
        for before, after in edges:
            if layer[after] <= layer[before]:
                layer[after], moved = layer[before] + 1, True
        if not moved:
            return layer
    raise ExtensionError(f"the prerequisites of {', '.join(names)} run in a circle")


def layout(names: Sequence[str], edges: Sequence[Edge]) -> Layout:
    """Sugiyama's method: layers, an order within each that crosses few arrows, coordinates."""
    layer = layers_of(names, edges)
    items = {name: Item(name, WIDTH, layer[name]) for name in names}
    layers: list[list[Item]] = [[] for _ in range(max(layer.values(), default=0) + 1)]
    for item in items.values():
        layers[item.layer].append(item)
    routes = {}
    for before, after in edges:
        passed = [Item("", LANE, between) for between in range(layer[before] + 1, layer[after])]
        for item in passed:
            layers[item.layer].append(item)
        routes[before, after] = [items[before], *passed, items[after]]
        for upper, lower in pairwise(routes[before, after]):
            upper.below.append(lower)
            lower.above.append(upper)
    _order(layers)
    _place(layers)
    edge = [side for row in layers for item in row for side in _sides(item)]
    left, right = min(edge, default=0), max(edge, default=0)
    for row in layers:
        for item in row:
            item.x -= left
    return Layout(layers, items, routes, right - left)


def _sides(item: Item) -> tuple[float, float]:
    return item.x - item.width / 2, item.x + item.width / 2


def _order(layers: list[list[Item]]) -> None:
    """Sort each layer by the mean position of the neighbours, down and up; keep the best order."""
    best, fewest = [list(row) for row in layers], crossings(layers)
    for sweep in range(SWEEPS):
        down = sweep % 2 == 0
        for row, fixed in pairwise(layers if down else layers[::-1]):
            position = {id(item): index for index, item in enumerate(row)}
            keys = {}
            for index, item in enumerate(fixed):
                neighbours = [position[id(other)] for other in (item.above if down else item.below)]
                keys[id(item)] = sum(neighbours) / len(neighbours) if neighbours else index
            fixed.sort(key=lambda item: keys[id(item)])
        _swap(layers)
        if (found := crossings(layers)) < fewest:
            best, fewest = [list(row) for row in layers], found
    for row, order in zip(layers, best, strict=True):
        row[:] = order


def _swap(layers: list[list[Item]]) -> None:
    """Exchange neighbours in a layer as long as that makes arrows cross less often."""
    fewest, better = crossings(layers), True
    while better:
        better = False
        for row in layers:
            for left in range(len(row) - 1):
                row[left], row[left + 1] = row[left + 1], row[left]
                if (found := crossings(layers)) < fewest:
                    fewest, better = found, True
                else:
                    row[left], row[left + 1] = row[left + 1], row[left]


def crossings(layers: list[list[Item]]) -> int:
    """How many pairs of arrows cross."""
    found = 0
    for upper, lower in pairwise(layers):
        position = {id(item): index for index, item in enumerate(lower)}
        ends = [(i, position[id(to)]) for i, item in enumerate(upper) for to in item.below]
        found += sum(a < c and b > d for a, b in ends for c, d in ends)
    return found


def _place(layers: list[list[Item]]) -> None:
    """Give every item an x: near its neighbours, in order, without overlaps."""
    for row in layers:
        _spread(row, [0.0] * len(row))
    for sweep in range(SWEEPS):
        for row in layers if sweep % 2 == 0 else layers[::-1]:
            wanted = []
            for item in row:
                neighbours = [other.x for other in (*item.above, *item.below)]
                wanted.append(sum(neighbours) / len(neighbours) if neighbours else item.x)
            _spread(row, wanted)


def _spread(row: list[Item], wanted: list[float]) -> None:
    """The places nearest to those wanted, in the sense of least squares, that keep the gaps.

    With the gaps taken off, places must only not decrease: pool adjacent violators.
    """
    offsets = [0.0]
    for left, right in pairwise(row):
        offsets.append(offsets[-1] + (left.width + right.width) / 2 + GAP_X)
    pools: list[list[float]] = []
    for want, offset in zip(wanted, offsets, strict=False):
        pools.append([want - offset, 1])
        while len(pools) > 1 and pools[-2][0] > pools[-1][0]:
            mean, size = pools.pop()
            pools[-1][0] = (pools[-1][0] * pools[-1][1] + mean * size) / (pools[-1][1] + size)
            pools[-1][1] += size
    places = [mean for mean, size in pools for _ in range(int(size))]
    for item, place, offset in zip(row, places, offsets, strict=False):
        item.x = place + offset


# Drawing -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Concept:
    """A page on the map."""

    docname: str
    title: str

    @property
    def lines(self) -> list[str]:
        return textwrap.wrap(self.title, CHARACTERS, break_long_words=False)

    @property
    def is_lab(self) -> bool:
        return self.docname.startswith("labs/")


def svg(
    concepts: Sequence[Concept], edges: Sequence[Edge], urls: dict[str, str], label: str
) -> str:
    """The drawing; ``urls`` says where each page lies as seen from the map's page."""
    by_name = {concept.docname: concept for concept in concepts}
    drawn = layout([concept.docname for concept in concepts], edges)
    heights: list[float] = [
        max(
            (2 * PADDING + LINE * len(by_name[item.name].lines) for item in row if item.name),
            default=0,
        )
        for row in drawn.layers
    ]
    tops: list[float] = [GAP_Y * index + sum(heights[:index]) + 2 for index in range(len(heights))]
    width, height = drawn.width + 4, tops[-1] + heights[-1] + 2
    middles = [top + height / 2 for top, height in zip(tops, heights, strict=True)]
    parts = [
        f'<svg class="concept-map" role="group" aria-label="{escape(label)}"'
        f' viewBox="-2 0 {width:.0f} {height:.0f}" width="{width:.0f}" height="{height:.0f}">'
    ]
    for concept in concepts:
        item = drawn.items[concept.docname]
        parts.append(_box(concept, item, middles[item.layer], urls[concept.docname]))
        for before, after in edges:
            if before == concept.docname:
                title = f"{short_name(concept.title)} → {short_name(by_name[after].title)}"
                path = _arrow(drawn, (before, after), by_name, tops, heights)
                parts.append(
                    f'<a class="arrow" href="{escape(urls[after])}" aria-label="{escape(title)}">'
                    f"<title>{escape(title)}</title>{path}</a>"
                )
    return "\n".join([*parts, "</svg>"])


def _box(concept: Concept, item: Item, middle: float, url: str) -> str:
    height = _height(concept)
    left, top = item.x - WIDTH / 2, middle - height / 2
    # The spaces between the lines are for those who hear them.
    lines = " ".join(
        f'<tspan x="{item.x:.1f}" y="{top + PADDING + LINE * baseline:.1f}">{escape(line)}</tspan>'
        for baseline, line in zip(count(0.76), concept.lines, strict=False)
    )
    kind = "lab" if concept.is_lab else "chapter"
    return (
        f'<a class="{kind}" href="{escape(url)}" aria-label="{escape(concept.title)}">'
        f'<rect x="{left:.1f}" y="{top:.1f}" width="{WIDTH}" height="{height}" rx="8"/>'
        f"<text>{lines}</text></a>"
    )


def _height(concept: Concept) -> int:
    return 2 * PADDING + LINE * len(concept.lines)


def _port(item: Item, others: list[Item], other: Item) -> float:
    """Where on a box an arrow starts or ends: side by side, in the order of the other ends."""
    order = sorted(range(len(others)), key=lambda index: (others[index].x, index))
    rank = order.index(next(i for i, one in enumerate(others) if one is other))
    step = min(24.0, (WIDTH - 40) / max(1, len(others)))
    return item.x + step * (rank - (len(others) - 1) / 2)


def _arrow(
    drawn: Layout,
    edge: Edge,
    concepts: dict[str, Concept],
    tops: list[float],
    heights: list[float],
) -> str:
    route = drawn.routes[edge]
    first, last = route[0], route[-1]
    middle = [top + height / 2 for top, height in zip(tops, heights, strict=True)]
    x = _port(first, first.below, route[1])
    y = middle[first.layer] + _height(concepts[edge[0]]) / 2
    steps = [f"M{x:.1f} {y:.1f}", f"V{tops[first.layer] + heights[first.layer]:.1f}"]
    y = tops[first.layer] + heights[first.layer]
    for item in route[1:]:
        end = _port(last, last.above, route[-2]) if item is last else item.x
        bottom = tops[item.layer]
        bend = GAP_Y * 0.55
        steps.append(
            f"C{x:.1f} {y + bend:.1f} {end:.1f} {bottom - bend:.1f} {end:.1f} {bottom:.1f}"
        )
        x, y = end, bottom
        if item is not last:
            y += heights[item.layer]
            steps.append(f"V{y:.1f}")
    tip = middle[last.layer] - _height(concepts[edge[1]]) / 2
    steps.append(f"V{tip - 6:.1f}")
    line = " ".join(steps)
    head = f"M{x:.1f} {tip:.1f} l-4.5 -9 h9 z"
    kinds = {"reach": line, "line": line, "head": head}
    return "".join(f'<path class="{kind}" d="{path}"/>' for kind, path in kinds.items())


# The part of the page ----------------------------------------------------------------------------


def graph(place: Place) -> tuple[list[Concept], list[Edge]]:
    """The pages that the cards connect, and the arrows, both in the course's order."""
    order = pages_in_order(place.env, place.language)
    needs = required_pages(place.env)
    edges = [
        (before, after) for after in order for before in needs.get(after, []) if before in order
    ]
    connected = {name for edge in edges for name in edge}
    titles = place.env.titles
    concepts = [Concept(name, titles[name].astext()) for name in order if name in connected]
    return concepts, sorted(edges, key=lambda edge: (order.index(edge[0]), order.index(edge[1])))


class Drawing(nodes.General, nodes.Element):  # type: ignore[misc]
    """Holds the graph until the addresses of the pages are known."""


def concept_map(place: Place) -> list[nodes.Node]:
    """The drawing, and under it the same in words."""
    concepts, edges = graph(place)
    if not concepts:
        return []
    drawing = Drawing(concepts=concepts, edges=edges, label=place.words.map_label)
    return [drawing, _in_words(place, concepts, edges)]


def _in_words(place: Place, concepts: list[Concept], edges: list[Edge]) -> nodes.bullet_list:
    titles = {concept.docname: concept.title for concept in concepts}
    found = nodes.bullet_list(classes=["concept-list"])
    for concept in concepts:
        paragraph = nodes.paragraph("", "", link(concept.docname, concept.title))
        needed = [before for before, after in edges if after == concept.docname]
        if needed:
            paragraph += nodes.Text(f": {place.words.map_needs} ")
        else:
            paragraph += nodes.Text(f": {place.words.map_needs_nothing}")
        for index, before in enumerate(needed):
            if index:
                paragraph += nodes.Text(", ")
            paragraph += link(before, short_name(titles[before]))
        paragraph += nodes.Text(".")
        found += nodes.list_item("", paragraph)
    return found


class DrawMaps(SphinxPostTransform):
    """Turns the graph into SVG, with addresses as seen from the page."""

    default_priority = 4

    def run(self, **_kwargs: Any) -> None:
        for drawing in list(self.document.findall(Drawing)):
            concepts = drawing["concepts"]
            here = self.env.docname
            urls = {
                concept.docname: self.app.builder.get_relative_uri(here, concept.docname)
                for concept in concepts
            }
            markup = svg(concepts, drawing["edges"], urls, drawing["label"])
            box = f'<div class="concept-map-box">\n{markup}\n</div>'
            drawing.replace_self(nodes.raw("", box, format="html"))


def setup(app: Sphinx) -> None:
    """Connect this module to Sphinx."""
    app.add_node(Drawing)
    app.add_post_transform(DrawMaps)
    register(app, "concept-map", Part(concept_map, graph))
