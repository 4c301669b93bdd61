"""Text of strangers in Markdown: nothing in it becomes markup, ends its line or its code, or hides."""

import re
from typing import Final

from transforms.text import visible_plain

# What can start markup inside a line or a table cell, and `@`, which mentions people on the Hub.
_MARKUP: Final = re.compile(r"([\\`*_\[\]|~#$@])")


class Trusted(str):
    """Markdown made here, which is not escaped again."""

    __slots__ = ()


def markdown(value: str) -> str:
    """`value` as plain words on one line of Markdown."""
    line = visible_plain(value).replace("\n", " ").replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _MARKUP.sub(r"\\\1", line).replace("://", ":\u200b//")


def code(value: str) -> Trusted:
    """`value` as a code span, with more backticks than it holds itself."""
    line = visible_plain(value).replace("\n", " ")
    ticks = "`" * (_longest_run(line) + 1)
    pad = " " if line.startswith("`") or line.endswith("`") or not line else ""
    return Trusted(f"{ticks}{pad}{line}{pad}{ticks}")


def cell(value: str) -> Trusted:
    """A code span for a table, where a bar would end the cell also inside code."""
    return code(value.replace("|", "¦"))


def fenced(value: str, language: str = "text") -> Trusted:
    """`value` as a code block, with a fence longer than any in it."""
    shown = visible_plain(value)
    fence = "`" * max(3, _longest_run(shown) + 1)
    return Trusted(f"{fence}{language}\n{shown}\n{fence}")


def _longest_run(value: str) -> int:
    return max((len(run) for run in re.findall("`+", value)), default=0)
