"""The jinja environment of all pages: everything escaped, unseen characters shown, scripts allowed by hash."""

import base64
import hashlib
from functools import cache
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from transforms import text
from transforms.report.codes_in_words import reason_in_words
from transforms.report.examples import sides

FOLDER: Final = Path(__file__).parent


@cache
def environment() -> Environment:
    """What every template of this folder is rendered with."""
    made = Environment(
        autoescape=True,
        # Also shows what escaping leaves alone: every string that is not markup yet goes through `visible`.
        finalize=_finalize,
        loader=FileSystemLoader(FOLDER),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(
        count=text.count,
        compact=text.compact,
        percent=text.percent,
        signed=text.signed,
        duration=text.duration,
        plain=text.visible_plain,
        reason=reason_in_words,
        one_line=text.one_line,
        clip=_clip,
        sides=sides,
    )
    made.globals.update(interval=text.interval)
    return made


def render(template: str, page: dict[str, Any], *, script: str = "") -> str:
    """The page as HTML; `script` is the one script that its content security policy lets run."""
    return environment().get_template(template).render(page, csp=policy(script), script=Markup(script))


def policy(script: str) -> str:
    """A Content-Security-Policy that fetches nothing and runs `script` alone, by its hash.

    Styles stay 'unsafe-inline': every bar and mark is placed by a style attribute.
    """
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    allowed = f"script-src 'sha256-{digest}'; " if script else ""
    return f"default-src 'none'; {allowed}style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"


def _finalize(value: Any) -> Any:
    return text.visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _clip(words: str, head: int, tail: int) -> text.Segment:
    return text.clip(words, head=head, tail=tail)
