"""README.md of a run: the dataset card that the Hub shows, front matter included."""

import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final, NamedTuple

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from transforms.manifest import Manifest, RateRecord
from transforms.report.examples import Example
from transforms.report.funnel import distinct_sources, losses
from transforms.report.page import headline_rate, saved_share
from transforms.report.published import PUBLISHED, WARN_AT, cut_in_words
from transforms.report.text import NBSP, clip, count, duration, signed, visible_plain
from transforms.report.text import interval as report_interval
from transforms.report.text import percent as report_percent


class Licence(NamedTuple):
    """What the public dataset of a source family says of itself; `id` is the Hub's, None for none."""

    id: str | None
    words: str
    url: str


_HUB: Final = "https://huggingface.co/datasets/"
_EACH: Final = "that of the set it was read from"
LICENCES: Final = {
    "starter": Licence("apache-2.0", "Apache-2.0", "https://www.apache.org/licenses/LICENSE-2.0"),
    "ultrafeedback": Licence("mit", "MIT", f"{_HUB}openbmb/UltraFeedback"),
    "ultrafeedback_binarized": Licence("mit", "MIT", f"{_HUB}HuggingFaceH4/ultrafeedback_binarized"),
    "hh_rlhf": Licence("mit", "MIT", f"{_HUB}Anthropic/hh-rlhf"),
    "skywork": Licence(
        None, "none of its own; its parts have theirs", f"{_HUB}Skywork/Skywork-Reward-Preference-80K-v0.2"
    ),
    "shp": Licence(None, "none of its own; Reddit's terms of use", f"{_HUB}stanfordnlp/SHP"),
    "rlhflow": Licence(None, "none of its own; its parts have theirs", f"{_HUB}RLHFlow/pair_data_v2_80K_wsafety"),
    "onpolicy": Licence(None, _EACH, "https://huggingface.co/princeton-nlp"),
    "sharegpt": Licence(None, _EACH, ""),
    "preference": Licence(None, _EACH, ""),
}
_UNKNOWN: Final = Licence(None, "not known", "")

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
# What can start markup inside a line or a table cell, and `@`, which mentions people on the Hub.
_MARKUP: Final = re.compile(r"([\\`*_\[\]|~#$@])")


class Trusted(str):
    """Markdown made here, which is not escaped again."""

    __slots__ = ()


def render_card(manifest: Manifest, examples: Sequence[Example] = (), *, language: Sequence[str] = ()) -> str:
    """README.md with front matter that the Hub accepts and nothing in it that data could turn into markup.

    Args:
        manifest: of the finished run.
        examples: of these, the first kept pair is shown.
        language: ISO 639 codes, where they are known.
    """
    shown = next((example for example in examples if example.verdict == "keep"), None)
    text = (
        _environment()
        .get_template("card.md.j2")
        .render(
            front_matter=Trusted(yaml.safe_dump(front_matter(manifest, language), sort_keys=False, allow_unicode=True)),
            manifest=manifest,
            counts=manifest.counts,
            headline=headline_rate(manifest),
            losses=losses(manifest.counts),
            rates=[(source, _by_reference(manifest, source)) for source in distinct_sources(manifest.consistency)],
            cut=cut_in_words(manifest.config),
            saved=saved_share(manifest),
            published=PUBLISHED,
            warn_at=WARN_AT,
            licences=[(source, LICENCES.get(source.kind, _UNKNOWN)) for source in manifest.sources],
            example=shown,
        )
    )
    return text.rstrip() + "\n"


def front_matter(manifest: Manifest, language: Sequence[str] = ()) -> dict[str, Any]:
    """The card's metadata. No `configs`: dataset/ is for load_from_disk, not for load_dataset."""
    licences = {LICENCES.get(source.kind, _UNKNOWN).id for source in manifest.sources}
    only = licences.pop() if len(licences) == 1 else None
    known = {"license": only} if only else {"license": "other", "license_name": "see-the-sources-below"}
    method = (manifest.config.get("truncate") or {}).get("method", "none")
    return {
        "pretty_name": " ".join(visible_plain(manifest.name).split()),
        **known,
        **({"language": list(language)} if language else {}),
        "task_categories": ["text-generation"],
        "size_categories": [next((name for limit, name in _SIZES if manifest.counts.kept < limit), "1B<n<10B")],
        "tags": [
            "preference",
            "dpo",
            "rlhf",
            "reward-model",
            *([f"truncation-{method}"] if method != "none" else []),
        ],
    }


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


def public_path(path: str) -> str:
    """`path` without what a card should not tell: folders of a machine, credentials in a URL."""
    if path.startswith(("/", "~")):
        return Path(path).name
    return re.sub(r"://[^/@]*@", "://", path)


def fenced(value: str) -> Trusted:
    """`value` as a code block, with a fence longer than any in it."""
    shown = visible_plain(value)
    fence = "`" * max(3, _longest_run(shown) + 1)
    return Trusted(f"{fence}text\n{shown}\n{fence}")


def _longest_run(value: str) -> int:
    return max((len(run) for run in re.findall("`+", value)), default=0)


def _shorten(value: str) -> str:
    part = clip(value, head=1200, tail=300)
    return f"{part.head}\n[… {part.hidden:,} characters …]\n{part.tail}" if part.hidden else part.head


def _by_reference(manifest: Manifest, source: str) -> dict[str, RateRecord]:
    return {rate.reference: rate for rate in manifest.consistency if rate.source == source}


@cache
def _environment() -> Environment:
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
        shorten=_shorten,
        count=count,
        duration=_plain(duration),
    )
    environment.filters.update(percent=_plain(report_percent), signed=signed, trusted=Trusted)
    environment.globals.update(interval=_plain(report_interval))
    return environment


def _plain(words: Any) -> Any:
    """The report's number formats with ordinary spaces: a card is read in editors and terminals, too."""
    return lambda *given: words(*given).replace(NBSP, " ")


def _finalize(value: Any) -> Any:
    return markdown(value) if isinstance(value, str) and not isinstance(value, Trusted) else value
