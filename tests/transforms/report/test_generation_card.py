"""The card of a generation: metadata that the Hub accepts, licences that are not claimed, hostile words."""

import re

import pytest
import yaml
from generation_report_support import (
    HOSTILE,
    MODEL,
    annotator,
    counts,
    generation,
    pairs,
    responses,
    share,
    three_annotators,
    voice,
)

from transforms.records.generation import ReliabilityRecord
from transforms.records.manifest import FileRecord
from transforms.report.generation_card import generation_front_matter, render_generation_card
from transforms.report.pictures import draw_generation


def metadata(card: str) -> dict:
    found = re.match(r"---\n(.*?\n)---\n", card, re.DOTALL)
    assert found
    return yaml.safe_load(found[1])


def test_the_front_matter_claims_no_licence_and_opens_both_tables() -> None:
    assert metadata(render_generation_card(generation())) == {
        "pretty_name": "small",
        "license": "other",
        "license_name": "terms-of-prompts-and-models",
        "task_categories": ["text-generation"],
        "size_categories": ["n<1K"],
        "tags": ["preference", "dpo", "rlhf", "synthetic"],
        "configs": [
            {
                "config_name": "default",
                "default": True,
                "data_files": [{"split": "train", "path": "dataset/train/data-*.arrow"}],
            },
            {
                "config_name": "responses",
                "data_files": [{"split": "responses", "path": "responses/data-*.arrow"}],
            },
        ],
    }


def test_tables_without_rows_are_left_out() -> None:
    lost = counts(pairs=0, with_pair=0)
    assert [one["config_name"] for one in generation_front_matter(generation(counts=lost))["configs"]] == ["responses"]
    assert "configs" not in generation_front_matter(generation(counts=counts(pairs=0, responses=0)))


def test_the_card_names_the_models_and_says_that_their_licences_are_not_known() -> None:
    card = render_generation_card(generation())
    assert "The responses were made by `org/model`. What the licences of these models ask" in card
    assert "| policy `policy` | `org/model` | `local` | float32 | vllm | not known here |" in card
    assert "[MIT](https://opensource.org/license/mit)" in card  # of the prompts, as the set states it


def test_the_card_has_the_reports_numbers() -> None:
    manifest, _ = three_annotators()
    card = render_generation_card(manifest, share(0.8, 0.7, 0.9))
    assert "1 preference pair (a prompt, a better and a worse response) from 3 prompts: 6 responses of 1 policy" in card
    assert "| First place wins | – | 70.0 % \\[55.0, 80.0\\] | – | Share of verdicts" in card
    assert "| `reward`, `judge` | +0.50 \\[+0.25, +0.75\\] | 100.0 % \\[30.0, 100.0\\] |" in card
    assert "The chosen side is the longer one in 80.0 % \\[70.0, 90.0\\] of the pairs" in card
    assert "| with a pair | 1 | 16.7 % |" in card
    assert "the annotators cost 1.25 in the currency of the recipe" in card
    assert "\u00a0" not in card


def test_figures_are_shown_that_the_manifest_has() -> None:
    assert "](figures/" not in render_generation_card(generation())
    named = [FileRecord(path=f"figures/{name}.png", rows=0, sha256="0") for name in ("funnel", "margins")]
    assert re.findall(r"\]\((figures/\w+\.png)\)", render_generation_card(generation(files=named))) == [
        "figures/funnel.png",
        "figures/margins.png",
    ]


def test_hostile_words_become_no_markup() -> None:
    model = MODEL.model_copy(update={"name": HOSTILE, "revision": HOSTILE})
    manifest = generation(
        name=HOSTILE,
        voices=[voice(HOSTILE, model=model)],
        annotators=[annotator(model=model)],
        reliability=[ReliabilityRecord(label=HOSTILE, ties=share(0.5))],
        config={"policies": [{"system_prompt": HOSTILE, "n": HOSTILE}], "aggregate": HOSTILE},
    )
    card = render_generation_card(manifest)
    assert metadata(card)["pretty_name"].startswith("</script>")  # a string of YAML and nothing else
    body = card[card.index("---\n", 4) :]
    outside = re.sub(r"(`{1,})(?!`).*?(?<!`)\1(?!`)", "", re.sub(r"`{3,}yaml.*?`{3,}\n", "", body, flags=re.DOTALL))
    assert not re.search(r"<(script|img)\b", outside)
    assert "\u202e" not in card
    assert "\x00" not in card
    assert "\n# h" not in outside
    card.encode("utf-8")


@pytest.mark.slow
def test_pictures_of_a_generation_are_those_for_which_there_is_something_to_draw() -> None:
    manifest, frame = three_annotators()
    pictures = draw_generation(manifest, frame, pairs())
    assert list(pictures) == ["funnel", "scores", "length", "margins"]
    assert all(png.startswith(b"\x89PNG") for png in pictures.values())
    assert pictures == draw_generation(manifest, frame, pairs())
    silent = responses(score=[None] * 6)
    assert list(draw_generation(generation(), silent, pairs().clear())) == ["funnel"]
