"""The generated parts of data_cards/sources: what a page says that the code knows. The rest is written by hand.

A part lies between `<!-- NAME:begin -->` and `<!-- NAME:end -->`.
"""

import inspect
import json
import re
import sys
import textwrap
from collections.abc import Mapping
from typing import Any, Final

from transforms.errors import ConfigError
from transforms.sources.about import About
from transforms.sources.adapter import Row, SourceKind
from transforms.sources.licences import LICENCES

_LITERAL_BLOCK: Final = re.compile(r"::\n\n(?P<rows>(?: {4}.*\n|\n)+)")
_HUB: Final = "https://huggingface.co/datasets/"


def facts(kind: SourceKind[Any]) -> str:
    """Where the public sets are, under which licence, in which languages, and what to cite."""
    about = kind.about
    lines = ["- **Sets:**", *(f"  - {one}" for one in _sets(about))]
    if about.terms:
        lines.append(f"- **Where no licence is stated:** {about.terms}")
    if about.languages:
        lines.append(f"- **Languages:** {', '.join(about.languages)}")
    papers = [f"{paper.title} ([arXiv {paper.arxiv}](https://arxiv.org/abs/{paper.arxiv}))" for paper in about.papers]
    if papers:
        lines.append(f"- **Cite:** {'; '.join(papers)}")
    return "\n".join(lines)


def raw_rows(kind: SourceKind[Any]) -> str:
    """The raw rows of the docstring of the kind's module, as a block of JSON."""
    return f"```json\n{_rows_text(kind)}\n```"


def parsed_rows(kind: SourceKind[Any]) -> list[Row]:
    """The same as objects."""
    text, rows, at = _rows_text(kind), [], 0
    while at < len(text):
        row, end = json.JSONDecoder().raw_decode(text, at)
        rows.append(row)
        at = end + len(text[end:]) - len(text[end:].lstrip())
    return rows


def renewed(page: str, parts: Mapping[str, str], *, name: str) -> str:
    """`page` with these parts between their markers.

    Raises:
        ConfigError: a part without its two markers.
    """
    for part, text in parts.items():
        begin, end = f"<!-- {part}:begin -->", f"<!-- {part}:end -->"
        before, found, rest = page.partition(begin)
        _, closed, after = rest.partition(end)
        if not found or not closed:
            message = f"{name} has no {begin} … {end}; put the two lines where the part belongs"
            raise ConfigError(message)
        page = f"{before}{begin}\n{text}\n{end}{after}"
    return page


def _rows_text(kind: SourceKind[Any]) -> str:
    module = sys.modules[kind.adapt.__module__]
    match = _LITERAL_BLOCK.search((inspect.getdoc(module) or "") + "\n")
    if match is None:
        message = f"{module.__name__}: the docstring shows no raw row; add one after `A raw row::`"
        raise ConfigError(message)
    return textwrap.dedent(match["rows"]).strip("\n")


def _sets(about: About) -> list[str]:
    named = [f"{_link(name)}: {_licence(licence)}" for name, licence in about.sets.items()]
    return [*named, *(["any other with this layout"] if about.any_set else [])]


def _link(name: str) -> str:
    # The starter data lies in this repository, and pages lie beside it.
    at = f"../{name.partition('/')[2]}" if name.startswith("data_cards/") else f"{_HUB}{name}"
    return f"[{name}]({at})"


def _licence(licence: str | None) -> str:
    return LICENCES[licence].name if licence else "no licence stated"
