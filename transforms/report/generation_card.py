"""README.md of a generation: a dataset card, so that its folder can be put on the Hub by hand."""

from typing import Any

import yaml

from transforms.dataset.redaction import public
from transforms.records.generation import GenerationManifest
from transforms.records.manifest import ShareRecord
from transforms.report.card import (
    card_environment,
    column_rows,
    languages_of,
    licence_terms,
    size_category,
    source_row,
)
from transforms.report.generation_words import (
    aggregate_in_words,
    length_in_words,
    measures,
    price,
    prompt_funnel,
    remarks,
    rule_in_words,
    sampling_rows,
    share,
    tau,
)
from transforms.report.markdown import Trusted
from transforms.tables import columns
from transforms.text import NBSP, visible_plain

# Not that of the prompts: what a model's licence asks of its output is not known here.
LICENCE_NAME = "terms-of-prompts-and-models"


def render_generation_card(manifest: GenerationManifest, longer: ShareRecord | None = None) -> str:
    """README.md with front matter that the Hub accepts and nothing in it that data could turn into markup.

    Args:
        manifest: of the finished generation; its `files` say which figures there are.
        longer: pairs whose chosen side is the longer one.
    """
    metadata = yaml.safe_dump(generation_front_matter(manifest), sort_keys=False, allow_unicode=True)
    sampled = [
        {name: "–" if value is None else str(value) for name, value in row.items()} for row in sampling_rows(manifest)
    ]
    text = (
        card_environment()
        .get_template("generation_card.md.j2")
        .render(
            front_matter=Trusted(metadata),
            manifest=manifest,
            counts=manifest.counts,
            figures={file.path for file in manifest.files if file.path.startswith("figures/")},
            rule=_plain(rule_in_words(manifest)),
            aggregate=aggregate_in_words(manifest),
            remarks=[_plain(words) for words in remarks(manifest, longer)],
            funnel=[row._replace(share=_plain(row.share)) for row in prompt_funnel(manifest)],
            measures=[
                (row.name, row.meaning, [_plain(value) for value in row.values])
                for row in measures(manifest.reliability)
            ],
            agreement=[(two, _plain(tau(two.tau)), _plain(share(two.same_best))) for two in manifest.agreement],
            length=_plain(length_in_words(manifest)),
            longer=_plain(share(longer)) if longer else "",
            price=price(manifest),
            columns=list(column_rows(columns.PAIRED)),
            answer_columns=list(column_rows(columns.ANSWERS | columns.SCORES)),
            terms=licence_terms(manifest),
            sources=[source_row(record) for record in manifest.sources],
            sampling=sampled,
            models=list(dict.fromkeys(voice.model.name for voice in manifest.voices)),
            recipe=yaml.safe_dump(public(manifest.config), sort_keys=False, allow_unicode=True).rstrip(),
        )
    )
    return text.rstrip() + "\n"


def generation_front_matter(manifest: GenerationManifest) -> dict[str, Any]:
    """The card's metadata, as huggingface_hub.DatasetCardData has them."""
    languages = languages_of(manifest.sources)
    configs = _configs(manifest)
    return {
        "pretty_name": " ".join(visible_plain(manifest.name).split()),
        "license": "other",
        "license_name": LICENCE_NAME,
        **({"language": languages} if languages else {}),
        "task_categories": ["text-generation"],
        "size_categories": [size_category(manifest.counts.pairs)],
        "tags": ["preference", "dpo", "rlhf", "synthetic"],
        **({"configs": configs} if configs else {}),
    }


def _configs(manifest: GenerationManifest) -> list[dict[str, Any]]:
    """What load_dataset opens by name. Tables without rows are left out: it opens none of their configuration."""
    found: list[dict[str, Any]] = []
    if manifest.counts.pairs:
        files = [{"split": "train", "path": "dataset/train/data-*.arrow"}]
        found.append({"config_name": "default", "default": True, "data_files": files})
    if manifest.counts.responses:
        files = [{"split": "responses", "path": "responses/data-*.arrow"}]
        found.append({"config_name": "responses", "data_files": files})
    return found


def _plain(words: str) -> str:
    """With ordinary spaces: a card is read in editors and terminals, too."""
    return words.replace(NBSP, " ")
