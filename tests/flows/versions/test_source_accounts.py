"""What a run says of its rows: columns that nobody read, missing scores, contradictions, marks of templates."""

import io
import json

import datasets
import pytest
from flows_support import pair, truncate_recipe, write_rows
from pydantic import ValidationError
from rich.console import Console

import flows.curate.flow as curate_module
from flows.curate.dry_run import dry_run
from flows.curate.plan import plan_run
from flows.curate.summary import print_summary
from flows.evaluate.data import load_pairs
from flows.explain.facts import explain
from flows.recipe.curation import Recipe
from flows.runtime.progress import Progress
from flows.versions.fingerprint import source_records
from transforms.errors import ConfigError

pytestmark = pytest.mark.usefixtures("curates_here")


def run(recipe):
    return curate_module.run_stages(plan_run(recipe))


def printed(folder):
    console = Console(file=io.StringIO(), width=200)
    print_summary(console, folder, seconds=1, unchanged=False)
    return console.file.getvalue()


def two_sources(tmp_path, first, second, **options):
    recipe = truncate_recipe(tmp_path, first)
    other = write_rows(tmp_path / "second.jsonl", second)
    sources = [{"kind": "preference", "path": str(tmp_path / "rows.jsonl")}, {"kind": "preference", "path": str(other)}]
    content = recipe.model_dump(mode="json") | {
        "sources": [one | options.get(str(at), {}) for at, one in enumerate(sources)]
    }
    return Recipe.model_validate(content)


def test_every_column_that_was_not_read_is_named_with_its_values_in_manifest_terminal_report_and_card(tmp_path):
    rows = [pair(at) | {"annotator": "x", "language": None if at else "en"} for at in range(3)]
    manifest = run(truncate_recipe(tmp_path, rows))
    (record,) = manifest.sources
    assert record.columns_unread == {"annotator": 3, "language": 1}
    assert record.columns_read == ["prompt", "chosen", "rejected"]
    assert "not read     preference: annotator 3, language 1" in printed(tmp_path / "out")
    report, card = ((tmp_path / "out" / name).read_text() for name in ("report.html", "README.md"))
    for words in ("annotator", "language"):
        assert words in report.partition("Columns that were not read")[2]
    assert "| `preference` | `annotator` | 3 |" in card


def test_a_run_that_read_everything_says_so(tmp_path):
    run(truncate_recipe(tmp_path, [pair(1)]))
    assert "not read" not in printed(tmp_path / "out")
    assert "Every column that holds something was read." in (tmp_path / "out" / "report.html").read_text()


def test_names_of_columns_and_texts_with_marks_are_strangers_and_stay_harmless(tmp_path):
    hostile = "[red]<img src=x>`|\u202e\x1b[2J"
    run(truncate_recipe(tmp_path, [pair(1, chosen=f"[INST] {hostile}") | {hostile: 1}]))
    shown = "[red]<img src=x>`|[U+202E][U+001B][2J"
    told = printed(tmp_path / "out")
    assert f"not read     preference: {shown} 1" in told and f"as in “[INST] {shown}”" in told
    report, card = ((tmp_path / "out" / file).read_text() for file in ("report.html", "README.md"))
    assert "<img src=x" not in report and "[red]&lt;img src=x&gt;" in report
    assert "``[red]<img src=x>`¦[U+202E][U+001B][2J``" in card
    assert not {"\u202e", "\x1b"} & {*told, *report, *card}


def test_a_filter_on_scores_that_meets_none_is_an_error_before_anything_is_paid(tmp_path):
    recipe = truncate_recipe(tmp_path, [pair(1) | {"votes": 3}, pair(2)], filters={"min_score_margin": 0.5})
    for curates in (run, lambda asked: dry_run(plan_run(asked))):
        with pytest.raises(ConfigError, match=r"min_score_margin is 0\.5 and none of 2 pairs has two scores") as caught:
            curates(recipe)
        assert "columns that are not read: 'votes'" in str(caught.value)
    assert not (tmp_path / "out" / "manifest.json").exists()


def test_a_filter_on_scores_that_meets_some_says_how_many_it_let_pass(tmp_path, caplog):
    scored = [pair(at) | {"chosen_score": 2, "rejected_score": at} for at in range(2)]
    manifest = run(truncate_recipe(tmp_path, [*scored, pair(7)], filters={"min_score_margin": 1.5}))
    assert manifest.counts.unmeasured == {"min_score_margin": 1}
    assert (manifest.counts.dropped, manifest.counts.kept) == ({"min_score_margin": 1}, 2)
    assert "filters.min_score_margin lets 1 pairs pass that have no scores" in caplog.text
    assert "note         filters.min_score_margin let 1 pairs pass that have no scores." in printed(tmp_path / "out")


def test_a_filter_that_could_judge_every_pair_says_nothing(tmp_path):
    rows = [pair(1) | {"chosen-rating": 2, "rejected-rating": 1}]
    assert run(truncate_recipe(tmp_path, rows, filters={"min_score_margin": 0.5})).counts.unmeasured == {}


CONTRADICTING = [pair(1, "cat", "dog"), pair(1, "dog", "cat"), pair(1, "cat", "dog"), pair(2, "cat", "dog")]


@pytest.mark.parametrize(
    ("rule", "dropped", "said"),
    [
        ("keep", {"duplicate": 1}, "both orders were kept (filters.contradictions)"),
        ("drop_both", {"contradiction": 3}, "all of them were dropped"),
        ("majority", {"contradiction": 1, "duplicate": 1}, "the order that more rows have was kept, of a draw none"),
    ],
)
def test_contradicting_labels_are_counted_whatever_becomes_of_them(tmp_path, rule, dropped, said):
    manifest = run(truncate_recipe(tmp_path, CONTRADICTING, filters={"contradictions": rule}))
    assert manifest.counts.dropped == dropped
    assert (manifest.counts.contradictions, manifest.counts.contradicting) == (1, 3)
    words = f"One pair of responses is ordered one way by some rows and the other way by others, 3 rows in all: {said}."
    assert f"note         {words}" in printed(tmp_path / "out")
    assert words in (tmp_path / "out" / "report.html").read_text()


# [INST] is no special token of the tests' tokenizer, so only this rule sees it.
LEAKING = [pair(1), pair(2, chosen="[INST] the cat"), pair(3, rejected="dog [/INST]")]


@pytest.mark.parametrize(
    ("rule", "kept", "dropped", "quarantined"),
    [("keep", 3, {}, 0), ("drop", 1, {"foreign_template": 2}, 0), ("quarantine", 1, {}, 2)],
)
def test_pairs_with_marks_of_a_template_are_counted_and_go_where_the_recipe_says(
    tmp_path, rule, kept, dropped, quarantined
):
    manifest = run(truncate_recipe(tmp_path, LEAKING, filters={"foreign_template": rule}))
    counts = manifest.counts
    assert (counts.kept, counts.dropped, counts.quarantined) == (kept, dropped, quarantined)
    leaks = [(leak.family, leak.side, leak.pairs, leak.marks) for leak in manifest.sources[0].leaks]
    assert leaks == [
        ("Llama 2 and Mistral", "chosen", 1, {"[INST]": 1}), ("Llama 2 and Mistral", "rejected", 1, {"[/INST]": 1}),
    ]  # fmt: skip
    told = printed(tmp_path / "out")
    line = "preference: Llama 2 and Mistral in 1 chosen response ([INST] 1), as in “[INST] the cat”"
    assert f"marks        {line}" in told
    assert "[INST] the cat" in (tmp_path / "out" / "report.html").read_text()
    assert (
        "| `preference` | Llama 2 and Mistral | chosen | 1 | `[INST] 1` |"
        in (tmp_path / "out" / "README.md").read_text()
    )
    lines = [json.loads(line) for line in (tmp_path / "out" / "quarantine.jsonl").read_text().splitlines()]
    assert [line["row"] for line in lines] == LEAKING[3 - len(lines) :]
    assert all("of a chat template (Llama 2 and Mistral); clean the text" in line["error"] for line in lines)


def test_what_exclude_left_out_is_counted_and_what_it_names_and_no_row_has_is_said(tmp_path):
    def tulu(at, source):
        prompt = {"role": "user", "content": f"question {at}"}
        sides = {
            side: [prompt, {"role": "assistant", "content": text}]
            for side, text in (("chosen", "the cat"), ("rejected", "the dog"))
        }
        return {"id": str(at), "source": source, "prompt": prompt["content"], **sides}

    recipe = truncate_recipe(tmp_path, [tulu(1, "a"), tulu(2, "b"), tulu(3, "a")])
    source = {"kind": "tulu3", "path": str(tmp_path / "rows.jsonl"), "exclude": ["a", "bb"]}
    manifest = run(Recipe.model_validate(recipe.model_dump(mode="json") | {"sources": [source]}))
    assert (manifest.counts.kept, manifest.counts.dropped) == (1, {"excluded": 2})
    assert manifest.sources[0].notes == {
        "rows left out by `exclude`: a": 2,
        "value of `exclude` that no row has: bb": 1,
    }
    assert "note         tulu3: 1 value of `exclude` that no row has: bb" in printed(tmp_path / "out")


def test_each_of_two_sources_of_one_kind_has_its_own_cap_and_its_own_name(tmp_path):
    first = [pair(1, chosen=f"cat {at}") for at in range(3)]
    second = [pair(2, chosen=f"dog {at}") for at in range(4)]
    caps = {"0": {"max_pairs_per_prompt": 1}, "1": {"max_pairs_per_prompt": 3}}
    manifest = run(two_sources(tmp_path, first, second, **caps))
    assert (manifest.counts.kept, manifest.counts.dropped) == (1 + 3, {"pairs_per_prompt": 3})
    assert [(one.label, one.raw_rows) for one in manifest.sources] == [("preference", 3), ("preference-2", 4)]


def test_a_cap_on_one_source_takes_no_pair_of_another_with_the_same_prompt(tmp_path):
    first, second = ([pair(1, chosen=f"{word} {at}") for at in range(3)] for word in ("cat", "dog"))
    manifest = run(two_sources(tmp_path, first, second, **{"0": {"max_pairs_per_prompt": 1}}))
    assert (manifest.counts.kept, manifest.counts.dropped) == (1 + 3, {"pairs_per_prompt": 2})


def test_a_pair_is_explained_by_the_row_of_its_own_source(tmp_path):
    run(two_sources(tmp_path, [pair(1) | {"file": "first"}], [pair(2) | {"file": "second"}]))
    rows = datasets.load_from_disk(str(tmp_path / "out" / "dataset" / "train")).to_list()
    assert {(row["source"], explain(tmp_path / "out", row["pair_id"]).raw["file"]) for row in rows} == {
        ("preference", "first"),
        ("preference-2", "second"),
    }


def test_an_evaluation_tells_two_sources_of_one_kind_apart(tmp_path):
    recipe = two_sources(tmp_path, [pair(1) | {"file": "first"}], [pair(2), pair(3)])
    records = source_records(recipe.sources)
    loaded = load_pairs(recipe.sources, records, Progress())
    assert loaded.labelled.pairs["source"].to_pylist() == ["preference", "preference-2", "preference-2"]
    assert [(one.pairs, one.columns_unread) for one in records] == [(1, {"file": 1}), (2, {})]


def test_rows_and_the_pairs_that_they_make_are_counted_apart(tmp_path):
    said = [("cat", True), ("dog", False), ("mat", False), ("", True)]
    recipe = truncate_recipe(tmp_path, [{"prompt": "q", "completion": text, "label": good} for text, good in said])
    source = {"kind": "kto", "path": str(tmp_path / "rows.jsonl")}
    manifest = run(Recipe.model_validate(recipe.model_dump(mode="json") | {"sources": [source]}))
    # One good completion meets two bad ones; the empty one is a bad row, which counts as a pair.
    [record] = manifest.sources
    assert (record.raw_rows, record.pairs) == (4, 3)
    assert (manifest.counts.raw_rows, manifest.counts.pairs, manifest.counts.quarantined) == (4, 3, 1)


def test_two_sources_of_one_label_are_refused_by_the_recipe(tmp_path):
    with pytest.raises(ValidationError, match="sources 1 and 2 are both called 'mine'"):
        two_sources(tmp_path, [pair(1)], [pair(2)], **{"0": {"label": "mine"}, "1": {"label": "mine"}})


def test_what_an_adapter_had_to_decide_is_counted(tmp_path):
    aspects = ("helpfulness", "honesty", "instruction_following", "truthfulness")
    low, high = ({name: {"Rating": mark} for name in aspects} for mark in ("1", "5"))
    completions = [
        {"response": "cat", "overall_score": 10, "annotations": low},
        {"response": "dog", "overall_score": 8, "annotations": high},
        {"response": "mat", "overall_score": 5, "annotations": high},
    ]
    recipe = truncate_recipe(tmp_path, [{"instruction": "q", "completions": completions}])
    source = {"kind": "ultrafeedback", "path": str(tmp_path / "rows.jsonl"), "score": "overall"}
    manifest = run(Recipe.model_validate(recipe.model_dump(mode="json") | {"sources": [source]}))
    words = "completions without a score: overall_score is 10 and may mean 1"
    assert manifest.sources[0].notes == {words: 1}
    assert f"note         ultrafeedback: 1 {words}." in printed(tmp_path / "out")


def test_scores_that_contradict_their_label_are_said_in_manifest_terminal_report_and_card(tmp_path):
    scores = [(1, 3), (2, 3), (3, 1), (2, 2)]
    rows = [pair(at) | {"chosen_score": one, "rejected_score": other} for at, (one, other) in enumerate(scores)]
    manifest = run(truncate_recipe(tmp_path, rows))
    words = "pairs whose scores say the other way (the rejected side's is higher): the label counts"
    assert manifest.sources[0].notes == {words: 2}
    assert f"note         preference: 2 {words}." in printed(tmp_path / "out")
    for name in ("report.html", "README.md"):
        assert "2 pairs whose scores say the other way" in (tmp_path / "out" / name).read_text()
    assert manifest.counts.dropped == {"tie": 1}
