"""docs/rooms.svg: the rooms of each package, floor by floor, and who imports whom, from the code's own imports.

A room stands one floor above the highest room that it imports, so every arrow goes down; an import that ran back up
could not be drawn, and is an error. An arrow that others already imply (a imports b, b imports c, so a may import c)
is left out.
"""

import ast
from collections import defaultdict
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise
from pathlib import Path
from typing import Final, NamedTuple
from xml.sax.saxutils import escape

from transforms.errors import ConfigError

ROOT: Final = Path(__file__).parents[2]
PACKAGES: Final = ("flows", "trainers", "transforms")  # top to bottom: each may import those after it
PICTURE: Final = "rooms.svg"

_WIDTH, _HEIGHT, _GAP, _FLOOR, _HEAD = 118, 40, 14, 78, 46  # of a box, between boxes, of a floor, above a package
_SWEEPS: Final = 24

Imports = dict[str, set[str]]  # room → rooms of its package that it imports
Spot = tuple[str, int]  # a room, or the place of a long arrow, on a floor


class Package(NamedTuple):
    """A package's rooms: how many files each has, and whom it imports."""

    name: str
    files: dict[str, int]
    imports: Imports


def read_package(name: str, root: Path = ROOT) -> Package:
    """The rooms of a package from its code. Modules that lie beside the rooms are shared by all and are none.

    Raises:
        ConfigError: rooms that import each other in a circle.
    """
    files = {path.parent.name: len(list(path.parent.rglob("*.py"))) - 1 for path in (root / name).glob("*/__init__.py")}
    imports: Imports = {room: set() for room in files}
    for path in sorted((root / name).glob("*/**/*.py")):
        room = path.relative_to(root / name).parts[0]
        found = {module.split(".")[1] for module in _imported(path) if module.startswith(f"{name}.")}
        imports[room] |= (found & files.keys()) - {room}
    try:
        tuple(TopologicalSorter(imports).static_order())
    except CycleError as error:
        message = f"rooms of {name} import each other: {' → '.join(error.args[1])}; expected imports one way"
        raise ConfigError(message) from error
    return Package(name, files, imports)


def draw(packages: list[Package]) -> str:
    """The picture as SVG text; the same text for the same imports."""
    plans = [_plan(package) for package in packages]
    width = max(max(map(len, plan.floors)) for plan in plans) * (_WIDTH + _GAP) + _GAP
    parts: list[str] = []
    top = 0
    for package, plan in zip(packages, plans, strict=True):
        parts += _drawn(package, plan, width, top)
        top += _HEAD + len(plan.floors) * _FLOOR
    style = (
        "text{font:13px sans-serif;fill:#1b1f24;text-anchor:middle}.n{font-size:11px;fill:#57606a}"
        ".p{font-size:16px;font-weight:bold;text-anchor:start}.b{fill:#eef4fb;stroke:#5b7ea6;rx:6}"
        ".a{fill:none;stroke:#8a99ab;stroke-width:1.2}"
    )
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {top}" width="{width}" height="{top}">'
    marker = (
        '<defs><marker id="e" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0L8 4L0 8z" fill="#8a99ab"/></marker></defs>'
    )
    return "\n".join([head, f"<style>{style}</style>", marker, f'<rect width="{width}" height="{top}" fill="#fff"/>',
                      *parts, "</svg>", ""])  # fmt: skip


def picture() -> str:
    """docs/rooms.svg as it must be."""
    return draw([read_package(name) for name in PACKAGES])


class _Plan(NamedTuple):
    floors: list[list[Spot]]  # top floor first; rooms and places that long arrows go through
    arrows: list[list[Spot]]  # each from room to room, floor by floor


def _imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def _plan(package: Package) -> _Plan:
    storeys: dict[str, int] = {}
    for room in TopologicalSorter(package.imports).static_order():
        storeys[room] = 1 + max((storeys[other] for other in package.imports[room]), default=-1)
    top = max(storeys.values())
    floor = {room: top - storey for room, storey in storeys.items()}
    arrows = []
    floors: list[list[Spot]] = [[] for _ in range(top + 1)]
    for room in sorted(floor):
        floors[floor[room]].append((room, floor[room]))
    for room, other in _not_implied(package.imports):
        through: list[Spot] = [(f"{room}→{other}", level) for level in range(floor[room] + 1, floor[other])]
        for spot in through:
            floors[spot[1]].append(spot)
        arrows.append([(room, floor[room]), *through, (other, floor[other])])
    _untangle(floors, arrows)
    return _Plan(floors, arrows)


def _not_implied(imports: Imports) -> list[tuple[str, str]]:
    reach: dict[str, set[str]] = {}
    for room in TopologicalSorter(imports).static_order():
        reach[room] = imports[room].union(*(reach[other] for other in imports[room]))
    return sorted(
        (room, other)
        for room, others in imports.items()
        for other in others
        if not any(other in reach[between] for between in others)
    )


def _untangle(floors: list[list[Spot]], arrows: list[list[Spot]]) -> None:
    """Order each floor by where its neighbours stand, down and up again (Sugiyama's barycentres)."""
    below, above = defaultdict[Spot, list[Spot]](list), defaultdict[Spot, list[Spot]](list)
    for arrow in arrows:
        for high, low in pairwise(arrow):
            below[high].append(low)
            above[low].append(high)
    for sweep in range(_SWEEPS):
        down = sweep % 2 == 0
        for level in range(len(floors)) if down else reversed(range(len(floors))):
            across = _across(floors)
            near = above if down else below
            floors[level].sort(key=lambda spot: (_mean(across, near[spot], across[spot]), spot))


def _mean(across: Mapping[Spot, float], spots: list[Spot], otherwise: float) -> float:
    return sum(across[spot] for spot in spots) / len(spots) if spots else otherwise


def _across(floors: list[list[Spot]]) -> dict[Spot, float]:
    """Where each spot's middle is, in boxes from the left of the widest floor; every floor is centred."""
    widest = max(map(len, floors))
    return {spot: (widest - len(floor)) / 2 + place + 0.5 for floor in floors for place, spot in enumerate(floor)}


def _drawn(package: Package, plan: _Plan, width: int, top: int) -> Iterator[str]:
    widest = max(map(len, plan.floors))
    left = (width - widest * (_WIDTH + _GAP)) / 2
    middle = {spot: left + at * (_WIDTH + _GAP) for spot, at in _across(plan.floors).items()}
    yield f'<text class="p" x="{_GAP}" y="{top + 28}">{package.name}/</text>'
    for arrow in plan.arrows:
        yield _curve([(middle[spot], top + _HEAD + spot[1] * _FLOOR) for spot in arrow])
    for spot in (spot for floor in plan.floors for spot in floor if spot[0] in package.files):
        x, y, count = middle[spot], top + _HEAD + spot[1] * _FLOOR, package.files[spot[0]]
        yield f'<rect class="b" x="{x - _WIDTH / 2:.0f}" y="{y}" width="{_WIDTH}" height="{_HEIGHT}"/>'
        yield f'<text x="{x:.0f}" y="{y + 17}">{escape(spot[0])}</text>'
        yield f'<text class="n" x="{x:.0f}" y="{y + 32}">{count} file{"" if count == 1 else "s"}</text>'


def _curve(spots: list[tuple[float, int]]) -> str:
    """From under the first box to the top of the last, past the boxes of the floors between."""
    x, y = spots[0]
    path = f"M{x:.0f} {y + _HEIGHT}"
    for at, (x, y) in enumerate(spots[1:], 1):
        before, last = spots[at - 1], at == len(spots) - 1
        start = before[1] + _HEIGHT
        bend = (start + y) / 2
        path += f"C{before[0]:.0f} {bend:.0f} {x:.0f} {bend:.0f} {x:.0f} {y}"
        if not last:
            path += f"L{x:.0f} {y + _HEIGHT}"
    return f'<path class="a" d="{path}" marker-end="url(#e)"/>'
