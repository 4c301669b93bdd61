"""The dataset card: front matter the Hub accepts, what it says of the run, and data that cannot become markup."""

import ast
import re
from typing import Any

import pytest
import yaml
from card_support import PUBLISHED, RUN, files, manifest, source
from huggingface_hub import DatasetCard
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from transforms.errors import OutputError
from transforms.records.manifest import DecisionRecord, ModelRecord, ProxyRecord, SourceRecord
from transforms.report.card import front_matter, licence_terms, render_card, with_configs
from transforms.sources.kinds import SOURCES
from transforms.tables.schema import CURATED

HOSTILE = "a|b <script> [x](javascript:1) *b* `c` @all https://evil.example\n# h\n---\n```"


def parts(card: str) -> tuple[dict[str, Any], str]:
    _, head, body = card.split("---\n", 2)
    return yaml.safe_load(head), body


def blocks(card: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", card, re.MULTILINE | re.DOTALL)


def test_front_matter_is_what_the_hub_reads() -> None:
    head, body = parts(render_card(manifest()))
    assert head == {
        "pretty_name": "uf-poet",
        "license": "mit",
        "language": ["en"],
        "task_categories": ["text-generation"],
        "size_categories": ["1K<n<10K"],
        "tags": ["preference", "dpo", "rlhf", "reward-model", "truncation-poet"],
        "configs": [
            {
                "config_name": "default",
                "default": True,
                "data_files": [
                    {"split": "train", "path": "dataset/train/data-*.arrow"},
                    {"split": "test", "path": "dataset/test/data-*.arrow"},
                ],
            },
            {"config_name": "dropped", "data_files": [{"split": "dropped", "path": "dropped/data-*.arrow"}]},
            {"config_name": "responses", "data_files": [{"split": "responses", "path": "responses/data-*.arrow"}]},
        ],
    }
    assert body.startswith("\n# uf-poet\n")


@pytest.mark.parametrize(
    ("kept", "size"), [(0, "n<1K"), (999, "n<1K"), (1000, "1K<n<10K"), (1_000_000, "1M<n<10M"), (2 * 10**9, "1B<n<10B")]
)
def test_the_size_is_that_of_the_kept_pairs(kept: int, size: str) -> None:
    counts = manifest().counts.model_copy(update={"kept": kept, "raw_rows": 5000})
    assert front_matter(manifest(counts=counts))["size_categories"] == [size]


def test_huggingface_hub_reads_the_same_metadata() -> None:
    card = render_card(manifest(files=PUBLISHED, sources=[source("shp")]))
    data = DatasetCard(card).data
    assert (data.license, data.license_name) == ("other", "unknown-terms")
    assert data.to_dict() == front_matter(manifest(files=PUBLISHED, sources=[source("shp")]))


def test_published_files_are_parquet() -> None:
    configs = front_matter(manifest(files=PUBLISHED))["configs"]
    assert [config["config_name"] for config in configs] == ["default", "dropped", "responses"]
    paths = [file["path"] for config in configs for file in config["data_files"]]
    assert paths == [
        "data/train-*.parquet",
        "data/test-*.parquet",
        "dropped/dropped-*.parquet",
        "responses/responses-*.parquet",
    ]


def test_tables_without_rows_are_no_configuration_because_load_dataset_fails_on_them() -> None:
    counts = manifest().counts.model_copy(update={"kept": 1100, "splits": {"train": 1100, "test": 0}})
    few = [*RUN[:2], *files("dropped/data-00000-of-00001.arrow", rows=0)]
    configs = front_matter(manifest(counts=counts, files=few))["configs"]
    assert configs == [
        {
            "config_name": "default",
            "default": True,
            "data_files": [{"split": "train", "path": "dataset/train/data-*.arrow"}],
        }
    ]
    nothing = counts.model_copy(update={"splits": {"train": 0}})
    assert "configs" not in front_matter(manifest(counts=nothing, files=few))


@pytest.mark.parametrize(
    ("sources", "licence", "name"),
    [
        ([source("ultrafeedback"), source("starter")], "apache-2.0", None),
        ([source("ultrafeedback", path="/data/copy.jsonl")], "mit", None),
        ([source("onpolicy", path="princeton-nlp/llama3-ultrafeedback-armorm")], "mit", None),
        ([source("hh_rlhf", path="hf://datasets/Anthropic/hh-rlhf/helpful-base/train.jsonl.gz")], "mit", None),
        ([source("preference", path="./mine.jsonl", license="cc-by-4.0"), source()], "cc-by-4.0", None),
        ([source("preference", path="./mine.jsonl")], "other", "unknown-terms"),
        ([source("onpolicy", path="me/mine")], "other", "unknown-terms"),
        ([source("shp")], "other", "unknown-terms"),
        ([source("made-up")], "other", "unknown-terms"),
        ([source("preference", license="llama3")], "other", "llama3"),
        ([source(license="cc-by-sa-4.0"), source(license="cc-by-nc-4.0")], "other", "conflicting-terms"),
    ],
)
def test_the_licence_follows_from_the_sources(sources: list[SourceRecord], licence: str, name: str | None) -> None:
    head = front_matter(manifest(sources=sources))
    assert (head["license"], head.get("license_name")) == (licence, name)


def test_unknown_and_conflicting_licences_are_warned_of_at_the_top() -> None:
    card = render_card(manifest(sources=[source("shp"), source()]))
    top = card[: card.index("## Loading")]
    assert "> **Licence.** No licence is known for shp: read its terms before you share or use this data." in top
    assert "| none stated; Reddit's API terms |" in card
    assert "**Licence.**" not in render_card(manifest())


def test_languages_are_claimed_only_where_those_of_every_source_are_known() -> None:
    assert front_matter(manifest(sources=[source(), source("starter")]))["language"][:3] == ["en", "ar", "de"]
    assert "language" not in front_matter(manifest(sources=[source(), source("preference", path="./x.jsonl")]))
    assert "language" not in front_matter(manifest(sources=[source("onpolicy", path="me/mine")]))


def test_funnel_and_rates_are_those_of_the_manifest() -> None:
    card = render_card(manifest())
    assert "| read, from 1,300 rows | 1,250 |\n| quarantined: unusable rows | −40 |" in card
    assert "| tie: no side is preferred | −10 |\n| **kept** | **1,200** |" in card
    assert r"| all sources | 1,240 | 900 | 96.2 % \[95.0, 97.2\] | – | 80.0 % |" in card
    assert "train: 1,100, test: 100 rows" in card
    assert "that saves 14.3 % of the response tokens" in card
    assert "| completions | 2,700 | 2,600 | 100 | 123,456 | 7 | 0.0 s |" in card


def test_the_card_warns_of_the_end_of_turn() -> None:
    assert "would then end with `<|im_end|>` in the middle" in render_card(manifest())


def test_the_card_says_what_is_known_of_a_rate_and_nothing_of_one_that_published_settings_speak_for() -> None:
    known, lower = "**What is known of such a rate.**", "No training is published for a rate as low as"
    between, below, high = (
        render_card(manifest(rate=rate, low=rate - 0.02, high=rate + 0.01)) for rate in (0.962, 0.85, 0.98)
    )
    assert (known in between, lower in between) == (True, False)
    assert (known in below, lower in below) == (True, True)
    assert known not in high
    assert "SimPO −2.8 at 93.8%" in between
    for card in (between, below, high):
        assert (
            "Zephyr + UltraFeedback 91.4 % (DPO +15.6, SimPO +3.3); Llama-3-8B-Instruct v0.1 93.8 % (SimPO −2.8)"
            in card
        )
        assert not [word for word in ("**Warning.**", "hurt", "on the side that") if word in card]


def test_a_run_that_only_truncated_claims_no_rate() -> None:
    card = render_card(manifest(policy=None, reward=None, consistency=[], completions=None))
    assert "Not measured: this run only truncated." in card
    assert "No model was called." in card


def test_what_was_not_sampled_is_a_limit() -> None:
    proxy = ProxyRecord(
        informative=True,
        why="",
        cut_pairs=900,
        audit_pairs=90,
        skipped=300,
        accepted_error=0.05,
        error=None,
        gain=0.1,
        calibration=[],
    )
    decisions = [DecisionRecord(by="undecided", keep=2, drop=5, completions=9)]
    card = render_card(manifest(proxy=proxy, decisions=decisions))
    assert "- 300 pairs were decided by their reward margin and not sampled. How often that was wrong: " in card
    assert "- The budget ended before 7 pairs were decided; 2 of them are in the data." in card


def test_figures_are_linked_where_the_manifest_has_them() -> None:
    card = render_card(manifest(files=[*RUN, *files("figures/funnel.png", "figures/lengths.png", rows=0)]))
    assert re.findall(r"!\[.*\]\((.*)\)", card) == ["figures/funnel.png", "figures/lengths.png"]
    assert "![" not in render_card(manifest())


def test_the_folder_s_card_loads_from_disk_and_the_published_one_from_the_hub() -> None:
    assert 'datasets.load_from_disk("dataset")' in blocks(render_card(manifest()), "python")[0]
    card = render_card(manifest(files=PUBLISHED), repo="org/name")
    assert 'datasets.load_dataset("org/name")' in blocks(card, "python")[0]
    assert "python -m flows.train --dataset.path org/name --model.model" in card
    assert "keeps to one version" in card


def test_a_card_by_hand_keeps_its_words_and_names_the_published_files() -> None:
    by_hand = "---\nlicense: mit\nconfigs: [x]\n---\n\n# mine\n---\nrest\n"
    head, body = parts(with_configs(by_hand, manifest(files=PUBLISHED)))
    assert head == {"license": "mit", "configs": front_matter(manifest(files=PUBLISHED))["configs"]}
    assert body == "\n# mine\n---\nrest\n"
    head, body = parts(with_configs("# no front matter\n", manifest(files=PUBLISHED)))
    assert (list(head), body) == (["configs"], "# no front matter\n")


@pytest.mark.parametrize(("front", "found"), [("a: [1\n", "is no YAML"), ("- a\n", "is list, expected keys")])
def test_front_matter_that_is_none_is_refused(front: str, found: str) -> None:
    with pytest.raises(OutputError, match=found):
        with_configs(f"---\n{front}---\n", manifest(files=PUBLISHED))


def test_python_in_the_card_is_python_and_names_columns_that_exist() -> None:
    for repo in (None, "org/name"):
        for block in blocks(render_card(manifest(), repo=repo), "python"):
            ast.parse(block)
    named = set(re.findall(r'row\["(\w+)"\]', render_card(manifest())))
    assert named <= set(CURATED.names)
    assert {"chosen_keep", "rejected_finished"} <= named


def test_python_in_the_card_writes_nothing_beside_the_shards() -> None:
    calls = re.findall(r"^\w.*\.(?:map|filter)\(.*$", "".join(blocks(render_card(manifest()), "python")), re.MULTILINE)
    assert len(calls) == 3
    assert all("keep_in_memory=True" in call for call in calls)


def test_every_column_is_explained_once() -> None:
    table = render_card(manifest()).split("## Columns")[1].split("## Funnel")[0]
    names = [name for row in table.splitlines() if row.startswith("| `") for name in row.split("|")[1].split(",")]
    assert [name.strip(" `") for name in names] == CURATED.names


def test_the_recipe_is_whole_but_for_the_paths_of_the_machine() -> None:
    config = {"name": "x", "truncate": {"method": "poet"}, "sources": [{"path": "/home/someone/x.jsonl"}]}
    (recipe,) = blocks(render_card(manifest(config=config)), "yaml")
    assert yaml.safe_load(recipe) == {**config, "sources": [{"path": "x.jsonl"}]}


def test_the_papers_of_the_method_and_of_every_source_are_cited_once() -> None:
    every = [source(kind, path=next(iter(SOURCES[kind].about.sets), "x/y")) for kind in SOURCES]
    (cited,) = blocks(render_card(manifest(sources=[*every, *every])), "bibtex")
    keys = re.findall(r"^@misc\{(\w+),", cited, re.MULTILINE)
    assert keys[:2] == ["xiao2025poet", "qi2025shallow"]
    assert sorted(set(keys)) == sorted(keys)
    assert set(keys[2:]) == {paper.key for kind in SOURCES.values() for paper in kind.about.papers}
    assert cited.count("{") == cited.count("}")


@settings(max_examples=25)
@given(st.text(max_size=40) | st.just(HOSTILE), st.text(max_size=40) | st.just(HOSTILE))
def test_no_text_of_strangers_becomes_metadata_or_markup(name: str, other: str) -> None:
    hostile = source("preference", label=other, path=other, revision=name or None)
    model = ModelRecord(name=other, revision=name, fingerprint="f", dtype="float32", engine="vllm")
    plain = manifest(sources=[source("preference", label="x", path="./x")], name="x")
    evil = manifest(sources=[hostile], name=name, policy=model, config={"truncate": {"method": "poet"}, "x": other})
    head, body = parts(render_card(evil))
    assert head.keys() == parts(render_card(plain))[0].keys()
    assert head | {"pretty_name": "x"} == parts(render_card(plain))[0]
    assert shape(body) == shape(parts(render_card(plain))[1])


def shape(body: str) -> list[str]:
    """Kinds of Markdown blocks, and the inline ones that could do harm."""
    tokens = MarkdownIt("commonmark", {"html": True}).enable("table").parse(body)
    inline = [child for token in tokens for child in token.children or []]
    links = [str(child.attrs["href"]) for child in inline if child.type == "link_open"]
    return [
        *(token.type for token in tokens),
        *(child.content for child in inline if child.type in ("html_inline", "image")),
        *links,
    ]


def test_equal_manifests_give_equal_cards() -> None:
    assert render_card(manifest()) == render_card(manifest())


def test_terms_are_there_for_who_publishes() -> None:
    assert licence_terms(manifest(sources=[source("shp")])).warnings
