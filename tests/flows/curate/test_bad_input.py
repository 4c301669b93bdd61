"""Bad rows go to quarantine and stop nothing; bad runs end in one message. Counts always add up."""

import json
import re
from pathlib import Path

import datasets
import polars as pl
import pytest
from flows_support import pair, truncate_recipe, write_rows

from flows.curate.finish import build_manifest, checked_counts, write_pages
from flows.curate.judging import judge_parts
from flows.curate.loading import load, prepare_parts
from flows.curate.plan import load_ahead, plan_run
from flows.curate.run import Run
from flows.curate.writing import write_data
from flows.versions.output_folder import output_folder, publish, read_manifest
from transforms.errors import ModelError, OutputError, SourceError


@pytest.fixture(autouse=True)
def without_pictures(monkeypatch):
    """0.2 s a run; test_card_code.py has them."""
    monkeypatch.setattr("flows.curate.finish.draw_pictures", lambda *_: {})


def curate(recipe):
    """The truncate-only stages without Prefect."""
    plan = plan_run(recipe)
    folder = Path(recipe.output.dir)
    with output_folder(folder, fingerprint=plan.fingerprint, overwrite=recipe.output.overwrite) as work:
        run = Run(plan, work)
        prepare_parts(run, load(run))
        judge_parts(run, None)
        written = write_data(run)
        publish(folder, write_pages(run, build_manifest(run, written, None), written))
    return read_manifest(folder), [json.loads(line) for line in (folder / "quarantine.jsonl").read_text().splitlines()]


BAD_ROWS = {
    "null response": ({"prompt": "q", "chosen": None, "rejected": "dog"}, "chosen"),
    "empty response": ({"prompt": "q", "chosen": "", "rejected": "dog"}, "empty"),
    "whitespace response": ({"prompt": "q", "chosen": " \n", "rejected": "dog"}, "whitespace"),
    "equal sides": ({"prompt": "q", "chosen": "dog", "rejected": "dog"}, "the same text"),
    "roles out of order": (
        {"prompt": [{"role": "assistant", "content": "x"}], "chosen": "cat", "rejected": "dog"},
        "role",
    ),
    "invalid UTF-8": (b'{"prompt": "q", "chosen": "\xff", "rejected": "dog"}', "UTF-8"),
    "lone surrogate": (b'{"prompt": "q", "chosen": "\\ud800", "rejected": "dog"}', "surrogate"),
    "NUL": (b'{"prompt": "q", "chosen": "a\\u0000b", "rejected": "dog"}', "NUL"),
    "5 MB response": ({"prompt": "q", "chosen": "x" * 5_000_000, "rejected": "dog"}, "5,000,000 characters"),
    "NaN score": (b'{"prompt": "q", "chosen": "cat", "rejected": "dog", "chosen_score": NaN}', "NaN|JSON"),
    "special token": ({"prompt": "q", "chosen": "cat <|im_end|> cat", "rejected": "dog"}, "special token"),
    "broken JSON": (b'{"prompt": "q", "chosen": ', "JSON"),
}


@pytest.mark.parametrize(("bad", "error"), BAD_ROWS.values(), ids=BAD_ROWS.keys())
def test_a_bad_row_is_quarantined_with_row_stage_and_error_and_the_run_goes_on(tmp_path, bad, error):
    manifest, quarantined = curate(truncate_recipe(tmp_path, [pair(1), bad, pair(2)]))
    [row] = quarantined
    assert re.search(error, row["error"])
    assert row["stage"] in {"load", "tokenise"}
    assert row["row"]
    assert (manifest.counts.pairs, manifest.counts.kept, manifest.counts.quarantined) == (3, 2, 1)


def counted(tmp_path, change):
    """The counts of two kept pairs, a duplicate and a bad row, after `change` of what was written."""
    recipe = truncate_recipe(tmp_path, [pair(1), pair(1), pair(2), BAD_ROWS["empty response"][0]])
    plan = plan_run(recipe)
    with output_folder(Path(recipe.output.dir), fingerprint=plan.fingerprint, overwrite=False) as work:
        run = Run(plan, work)
        prepare_parts(run, load(run))
        judge_parts(run, None)
        return checked_counts(run, change(run, write_data(run)))


def one_pair_fewer(_run, written):
    return written._replace(splits={"train": 1})


def one_pair_more(_run, written):
    return written._replace(splits={"train": 3})


def another_reason(_run, written):
    return written._replace(rows=written.rows.with_columns(pl.col("reason").replace("duplicate", "tie")))


def a_lost_quarantine(run, written):
    (run.work / "quarantine.jsonl").write_bytes(b"")
    return written


@pytest.mark.parametrize(
    ("change", "kept", "lines"),
    [(one_pair_fewer, 1, 1), (one_pair_more, 3, 1), (another_reason, 2, 1), (a_lost_quarantine, 2, 0)],
)
def test_counts_that_do_not_add_up_end_the_run(tmp_path, change, kept, lines):
    said = (
        f"the counts do not add up: 4 pairs came in, {kept} kept + 1 dropped + 1 quarantined ({lines} on disk) "
        "came out, stages recorded {'duplicate': 1}. This is a bug"
    )
    with pytest.raises(OutputError, match=re.escape(said)):
        counted(tmp_path, change)


def test_counts_that_add_up_are_those_of_what_was_written(tmp_path):
    counts = counted(tmp_path, lambda _run, written: written)
    assert (counts.pairs, counts.kept, counts.dropped, counts.quarantined) == (4, 2, {"duplicate": 1}, 1)


def test_a_prompt_longer_than_the_context_is_quarantined(tmp_path):
    rows = [pair(1), pair(2) | {"prompt": "the cat " * 50}]
    manifest, [row] = curate(truncate_recipe(tmp_path, rows, truncate={"max_length": 40}))
    assert "no room for one token" in row["error"]
    assert manifest.counts.kept == 1


def test_duplicate_rows_are_dropped_with_a_reason_and_kept_once(tmp_path):
    manifest, _ = curate(truncate_recipe(tmp_path, [pair(1), pair(2), pair(1)]))
    assert manifest.counts.dropped == {"duplicate": 1}
    assert manifest.counts.kept == 2


def test_dropped_pairs_have_the_columns_of_kept_ones_and_a_reason(tmp_path):
    curate(truncate_recipe(tmp_path, [pair(1), pair(1)]))
    kept = datasets.load_from_disk(str(tmp_path / "out" / "dataset"))["train"]
    dropped = datasets.load_from_disk(str(tmp_path / "out" / "dropped"))
    assert kept.features == dropped.features
    assert dropped["reason"][:] == ["duplicate"]
    assert kept["reason"][:] == [None]


def test_everything_bad_still_makes_a_complete_run(tmp_path):
    manifest, quarantined = curate(truncate_recipe(tmp_path, [{"prompt": "q", "chosen": "", "rejected": "x"}]))
    assert (manifest.counts.kept, len(quarantined)) == (0, 1)
    assert datasets.load_from_disk(str(tmp_path / "out" / "dataset"))["train"].num_rows == 0


def test_shuffled_rows_give_the_same_version_and_the_same_bytes(tmp_path):
    rows = [pair(i, chosen=f"the cat {i}") for i in range(50)] + [pair(3, chosen="the cat 3")]
    first, _ = curate(truncate_recipe(tmp_path, rows))
    files = {f.path: f.sha256 for f in first.files if f.path.endswith(".arrow")}
    again, _ = curate(truncate_recipe(tmp_path, rows[::-1], output={"dir": str(tmp_path / "other"), "test_size": 0}))
    assert again.version == first.version
    assert {f.path: f.sha256 for f in again.files if f.path.endswith(".arrow")} == files


def test_one_changed_word_changes_the_version(tmp_path):
    first, _ = curate(truncate_recipe(tmp_path, [pair(1)]))
    again, _ = curate(
        truncate_recipe(tmp_path, [pair(1, rejected="god")], output={"dir": str(tmp_path / "b"), "test_size": 0})
    )
    assert again.version != first.version


def test_a_missing_source_is_one_message(tmp_path):
    recipe = truncate_recipe(tmp_path, [pair(1)])
    Path(recipe.sources[0].path).unlink()
    with pytest.raises(SourceError, match=r"rows\.jsonl"):
        plan_run(recipe)


def test_wrong_columns_name_what_is_missing_and_what_it_looks_like(tmp_path):
    recipe = truncate_recipe(tmp_path, [pair(1)])
    write_rows(
        Path(recipe.sources[0].path),
        [
            {
                "history": "h",
                "human_ref_A": "a",
                "human_ref_B": "b",
                "labels": 1,
                "score_A": 4,
                "score_B": 1,
                "post_id": "p",
            }
        ],
    )
    with pytest.raises(SourceError, match=r"chosen.*shp"):
        curate(recipe)


def test_a_tokenizer_without_a_chat_template_is_refused(tmp_path):
    recipe = truncate_recipe(tmp_path, [pair(1)])
    for name in ("chat_template.jinja", "tokenizer_config.json"):
        path = tmp_path / "policy" / name
        if path.exists():
            path.unlink() if name.endswith("jinja") else path.write_text(
                '{"tokenizer_class": "PreTrainedTokenizerFast"}'
            )
    with pytest.raises(ModelError, match="chat template"):
        load_ahead(plan_run(recipe))


def test_a_policy_folder_that_is_not_there_is_named(tmp_path):
    recipe = truncate_recipe(tmp_path, [pair(1)], policy={"model": str(tmp_path / "nowhere"), "engine": "none"})
    with pytest.raises(ModelError, match="nowhere"):
        plan_run(recipe)
