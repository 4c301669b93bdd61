"""README.md of a run: the dataset card that the Hub shows, front matter included.

It is made of the manifest alone, so that publishing can make it again for the repository it goes to.
"""

import json
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final, NamedTuple

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from transforms.audit.published_rates import PUBLISHED, evidence_in_words, points_in_words, verdict_of
from transforms.dataset.redaction import public, public_path
from transforms.errors import OutputError
from transforms.records.generation import GenerationManifest
from transforms.records.manifest import Manifest, RateRecord, SourceRecord
from transforms.report.calibration import error_in_words
from transforms.report.chat_template import template_in_words
from transforms.report.codes_in_words import DECIDED_BY, cut_in_words
from transforms.report.funnel import distinct_sources, losses
from transforms.report.markdown import Trusted, cell, code, fenced, markdown
from transforms.report.page import headline_rate, saved_share
from transforms.report.remarks import decisions_in_words, ends_in_words, leak_rows, unread_rows
from transforms.sources.about import About, hub_id
from transforms.sources.kinds import KINDS
from transforms.sources.licences import LICENCES, Stated, Terms, combine
from transforms.sources.papers import POET, SHALLOW, Paper
from transforms.tables import columns
from transforms.text import NBSP, count, duration, signed, visible_plain
from transforms.text import interval as report_interval
from transforms.text import percent as report_percent

_FRONT_MATTER: Final = re.compile(r"---\n(?P<yaml>.*?\n)---\n", re.DOTALL)
# The Hub's own size buckets.
_SIZES: Final = (
    (1_000, "n<1K"),
    (10_000, "1K<n<10K"),
    (100_000, "10K<n<100K"),
    (1_000_000, "100K<n<1M"),
    (10_000_000, "1M<n<10M"),
    (100_000_000, "10M<n<100M"),
    (1_000_000_000, "100M<n<1B"),
)


class SourceRow(NamedTuple):
    """A source of the card's table."""

    record: SourceRecord
    page: str | None  # of the public set on the Hub
    licence: Trusted


def render_card(manifest: Manifest, *, repo: str | None = None) -> str:
    """README.md with front matter that the Hub accepts and nothing in it that data could turn into markup.

    Args:
        manifest: of a finished run or of what is published; its `files` say where data and figures lie.
        repo: Hub id that it goes to, None for the card in the run's folder. Its tag is no part of the card: tags come
            after the commit, and one commit may have several.
    """
    headline = headline_rate(manifest)
    appended = ends_in_words(manifest)
    return (
        card_environment()
        .get_template("card.md.j2")
        .render(
            front_matter=Trusted(yaml.safe_dump(front_matter(manifest), sort_keys=False, allow_unicode=True)),
            manifest=manifest,
            repo=repo,
            counts=manifest.counts,
            figures={file.path for file in manifest.files if file.path.startswith("figures/")},
            tables=_tables(manifest),
            headline=headline,
            losses=losses(manifest.counts),
            unread=unread_rows(manifest.sources),
            leaks=leak_rows(manifest.sources),
            appended=appended,
            remarks=[words for words in decisions_in_words(manifest) if words != appended],
            rates=[(source, _by_reference(manifest, source)) for source in distinct_sources(manifest.consistency)],
            decided_by=DECIDED_BY,
            proxy_error=error_in_words(manifest.proxy) if manifest.proxy else "",
            cut=cut_in_words(manifest.config),
            saved=saved_share(manifest),
            verdict=verdict_of(headline.low, headline.high) if headline else None,
            evidence=evidence_in_words(),
            template_words=template_in_words(manifest),
            published=PUBLISHED,
            points=points_in_words,
            columns=list(column_rows(columns.CURATED)),
            terms=licence_terms(manifest),
            sources=[source_row(record) for record in manifest.sources],
            recipe=yaml.safe_dump(public(manifest.config), sort_keys=False, allow_unicode=True).rstrip(),
            papers=[Trusted(paper.bibtex) for paper in _papers(manifest)],
        )
        .rstrip()
        + "\n"
    )


def front_matter(manifest: Manifest) -> dict[str, Any]:
    """The card's metadata, as huggingface_hub.DatasetCardData has them."""
    terms = licence_terms(manifest)
    languages = languages_of(manifest.sources)
    configs = _configs(manifest)
    method = (manifest.config.get("truncate") or {}).get("method", "none")
    return {
        "pretty_name": " ".join(visible_plain(manifest.name).split()),
        "license": terms.id,
        **({"license_name": terms.name} if terms.name else {}),
        **({"language": languages} if languages else {}),
        "task_categories": ["text-generation"],
        "size_categories": [size_category(manifest.counts.kept)],
        "tags": [
            "preference",
            "dpo",
            "rlhf",
            "reward-model",
            *([f"truncation-{method}"] if method != "none" else []),
        ],
        **({"configs": configs} if configs else {}),
    }


def size_category(rows: int) -> str:
    """The Hub's name for so many rows."""
    return next((name for limit, name in _SIZES if rows < limit), "1B<n<10B")


def with_configs(card: str, manifest: Manifest) -> str:
    """A card that somebody wrote, its front matter naming the files that `manifest` names.

    Raises:
        OutputError: its front matter is none.
    """
    found = _FRONT_MATTER.match(card)
    try:
        metadata = yaml.safe_load(found["yaml"]) if found else {}
    except yaml.YAMLError as error:
        message = f"README.md: its front matter is no YAML: {' '.join(str(error).split())}. Mend it, or curate again"
        raise OutputError(message) from error
    if not isinstance(metadata, dict):
        message = f"README.md: its front matter is {type(metadata).__name__}, expected keys and values. Mend it"
        raise OutputError(message)
    text = yaml.safe_dump(metadata | {"configs": _configs(manifest)}, sort_keys=False, allow_unicode=True)
    return f"---\n{text}---\n{card[found.end() :] if found else card}"


def licence_terms(manifest: Manifest | GenerationManifest) -> Terms:
    """The licence of the whole, from those of its sources."""
    return combine([Stated(source.label, _licence(source)) for source in manifest.sources])


def _configs(manifest: Manifest) -> list[dict[str, Any]]:
    """What load_dataset opens by name: Parquet where it is published, the run's own Arrow shards in its folder.

    Tables without rows are left out: one empty split, and load_dataset (datasets 5.2) opens none of its configuration.
    """
    is_published = any(file.path.endswith(".parquet") for file in manifest.files)
    kept = "data/{}-*.parquet" if is_published else "dataset/{}/data-*.arrow"
    other = "{0}/{0}-*.parquet" if is_published else "{}/data-*.arrow"
    splits = [split for split, rows in manifest.counts.splits.items() if rows]
    default = {"config_name": "default", "default": True, "data_files": _data_files(kept, splits)}
    tables = [{"config_name": name, "data_files": _data_files(other, [name])} for name in _tables(manifest)]
    return [*([default] if splits else []), *tables]


def _data_files(pattern: str, names: Sequence[str]) -> list[dict[str, str]]:
    return [{"split": name, "path": pattern.format(name)} for name in names]


def _tables(manifest: Manifest) -> list[str]:
    """Those with rows beside the kept pairs."""
    names = ("dropped", "responses")
    return [name for name in names if any(file.rows for file in manifest.files if file.path.startswith(f"{name}/"))]


def _about(source: SourceRecord) -> About:
    return KINDS[source.kind].about if source.kind in KINDS else About(any_set=True)


def _licence(source: SourceRecord) -> str | None:
    return source.license or _about(source).licence(source.path)


def languages_of(sources: Sequence[SourceRecord]) -> list[str]:
    """ISO 639 codes; none where a source's are not known, for a list that is not complete would claim to be."""
    known = [_about(source) for source in sources if _about(source).knows(source.path)]
    if len(known) < len(sources) or not all(about.languages for about in known):
        return []
    return list(dict.fromkeys(language for about in known for language in about.languages))


def _papers(manifest: Manifest) -> list[Paper]:
    found = [
        paper for source in manifest.sources if _about(source).knows(source.path) for paper in _about(source).papers
    ]
    return list(dict.fromkeys([POET, SHALLOW, *found]))


def source_row(record: SourceRecord) -> SourceRow:
    """A source with its page on the Hub and its licence."""
    about, found = _about(record), _licence(record)
    at = hub_id(record.path)
    page = f"https://huggingface.co/datasets/{at}" if at in about.sets and record.kind != "starter" else None
    if found in LICENCES:
        licence = f"[{LICENCES[found].name}]({LICENCES[found].url})"
    elif found:
        licence = cell(found)
    else:
        licence = f"none stated{'; ' + markdown(about.terms) if about.terms else ''}"
    stated = f" (as {'the recipe' if record.license_from == 'recipe' else 'its card'} states)" if record.license else ""
    return SourceRow(record, page, Trusted(licence + stated))


def column_rows(meanings: Mapping[str, str]) -> Iterator[tuple[Trusted, Trusted]]:
    """(names, meaning), columns that mean the same of the other side in one row."""
    names: list[str] = []
    meaning = ""
    for name, words in meanings.items():
        if names and not words.startswith("Likewise"):
            yield Trusted(", ".join(f"`{one}`" for one in names)), Trusted(meaning)
            names = []
        meaning = meaning if words.startswith("Likewise") else words
        names.append(name)
    yield Trusted(", ".join(f"`{one}`" for one in names)), Trusted(meaning)


def _by_reference(manifest: Manifest, source: str) -> dict[str, RateRecord]:
    return {rate.reference: rate for rate in manifest.consistency if rate.source == source}


@cache
def card_environment() -> Environment:
    """The jinja environment of cards: every value that is not Trusted is escaped for Markdown."""
    environment = Environment(
        # HTML escaping is for HTML. Here `finalize` escapes every value for Markdown unless it is Trusted.
        autoescape=False,
        finalize=_finalize,
        loader=FileSystemLoader(Path(__file__).parent),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(
        code=code,
        cell=cell,
        public_path=public_path,
        fenced=fenced,
        count=count,
        duration=_plain(duration),
        percent=_plain(report_percent),
        signed=signed,
        trusted=Trusted,
        python=lambda value: Trusted(json.dumps(value)),
        shell=lambda value: Trusted(shlex.quote(value)),
    )
    environment.globals.update(interval=_plain(report_interval))
    return environment


def _plain(words: Any) -> Any:
    """The report's number formats with ordinary spaces: a card is read in editors and terminals, too."""
    return lambda *given: words(*given).replace(NBSP, " ")


def _finalize(value: Any) -> Any:
    return markdown(value) if isinstance(value, str) and not isinstance(value, Trusted) else value
