"""docs/reference/reproduction.md: the keys of the catalogue of papers, and the readers that its series may name."""

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from flows.reference.keys import described, first_paragraph, keys, paragraphs, type_in_words
from flows.reproduce.config import Claim, Entry, Paper, Place, Reading, Sized, Sizes, Step
from flows.reproduce.found import Names, Options
from flows.reproduce.readings import READERS
from transforms.records.reproduction import Series, SeriesPoint

Table = Callable[[Sequence[str], Iterable[Sequence[str]]], str]

_WHERE: Final[tuple[tuple[str, type[BaseModel]], ...]] = (
    ("PAPER.yaml", Paper),
    ("An entry of it", Entry),
    ("A printed series", Series),
    ("A point", SeriesPoint),
    ("small.yaml and paper.yaml", Sizes),
    ("A line of them", Sized),
    ("A series of a line", Reading),
    ("A claim of a line", Claim),
    ("A point that a claim names", Place),
    ("small/STEP.yaml and paper/STEP.yaml", Step),
)
# Keys that hold what has a table of its own on the page.
_LISTS: Final = {
    "Paper.entries": "list of [entries](#an-entry-of-it)",
    "Entry.printed": "list of [series](#a-printed-series)",
    "Series.points": "list of [points](#a-point)",
    "Sizes.entries": "PAPER/ENTRY → [line](#a-line-of-them)",
    "Sized.series": "list of [series](#a-series-of-a-line)",
    "Sized.also": "list of [series](#a-series-of-a-line)",
    "Sized.claims": "list of [claims](#a-claim-of-a-line)",
    "Reading.reads": "[reader](#readers)",
    "Reading.options": "those of its [reader](#readers)",
    "Claim.higher": "[point](#a-point-that-a-claim-names) or number",
    "Claim.than": "[point](#a-point-that-a-claim-names) or number",
}


def reproduction_page(table: Table) -> str:
    """The page as Markdown.

    Args:
        table: writes one from its head and its rows.
    """
    parts = [
        "# Catalogue of papers\n",
        "What the YAML files under `flows/configs/reproduce` hold, which `python -m flows.reproduce` reads. A paper's "
        "file has what is printed; `small.yaml` and `paper.yaml` have a line for each entry, with the steps and series "
        "that it takes; a step is a file with one command of this project. "
        "[How to reproduce a paper](../how-to/reproduce-a-paper.md) is the guide.\n",
    ]
    for title, model in _WHERE:
        parts += [f"## {title}\n", paragraphs(model) + "\n", _keys(model, table)]
    rows = [(f"`{name}`", first_paragraph(one.read), _options(one.options)) for name, one in READERS.items()]
    parts += [
        "## Readers\n",
        "What `reads` of a series may name. A number that is not there is never made up: the page says which, and why. "
        "An option that takes names is a mapping: the name in the record → where it stands on the axis, or what it is "
        "called there; without it all are read, by their own names.\n",
        table(("reads", "gives", "options"), rows),
    ]
    return "\n".join(parts)


def _keys(model: type[BaseModel], table: Table) -> str:
    elsewhere = {name: _LISTS[key] for name in model.model_fields if (key := f"{model.__name__}.{name}") in _LISTS}
    rows = [(f"`{one.name}`", one.kind, one.default, one.meaning) for one in keys(model, elsewhere=elsewhere)]
    return table(("key", "type", "default", "meaning"), rows)


def _options(model: type[Options]) -> str:
    meanings = described(model)
    said = []
    for name, field in model.model_fields.items():
        kind = "names" if field.annotation == Names else type_in_words(field)
        meaning = f" ({meanings[name]})" if name in meanings else ""
        said.append(f"`{name}`: {kind}{_default(field)}{meaning}")
    about = first_paragraph(model)
    return f"{about} {'; '.join(said)}" if said else "none"


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return ", **required**"
    if field.default in (None, [], {}):
        return ""
    shown = field.default if isinstance(field.default, str) else json.dumps(field.default)
    return f", `{shown}` by default"
