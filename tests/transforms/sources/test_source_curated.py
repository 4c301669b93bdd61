"""What a run wrote, read again: whole or kept responses, and end-of-turns only where they belong."""

import json
import shutil
from pathlib import Path

import datasets
import pytest
from pydantic import TypeAdapter
from sources_support import ASKED, QUESTION, adapt, chat, only_pair

from transforms.dataset.shards import file_sha256
from transforms.errors import RowError, SourceError
from transforms.sources.kinds import Source
from transforms.sources.load import load_batches
from transforms.sources.read import fingerprint, read_rows

ROW = {
    "pair_id": "0" * 32,
    "source": "shp",
    "source_id": "p7",
    "prompt": chat(QUESTION),
    "chosen": "The Nile, the",
    "chosen_full": "The Nile, the Rhine and the Po.",
    "chosen_cut": True,
    "chosen_finished": True,
    "chosen_ids": [1, 2, 3],
    "chosen_score": 3.0,
    "rejected": "Nile.",
    "rejected_full": "Nile.",
    "rejected_cut": False,
    "rejected_finished": True,
    "rejected_ids": [4, 2],
    "rejected_score": None,
}


def read(path, **options):
    parsed = TypeAdapter(Source).validate_python({"path": str(path), **options})
    return list(load_batches(parsed))


def test_full_responses_are_those_before_the_cut():
    pair = only_pair("curated", ROW)
    assert (pair.prompt, pair.chosen, pair.rejected) == (ASKED, "The Nile, the Rhine and the Po.", "Nile.")
    assert (pair.chosen_finished, pair.rejected_finished) == (True, True)
    assert (pair.source_id, pair.subset, pair.chosen_score, pair.rejected_score) == ("p7", "shp", 3.0, None)


def test_a_kept_response_that_was_cut_has_no_end_of_turn():
    pair = only_pair("curated", ROW, responses="kept")
    assert (pair.chosen, pair.chosen_finished) == ("The Nile, the", False)
    assert (pair.rejected, pair.rejected_finished) == ("Nile.", True)


def test_a_whole_response_that_its_source_left_unfinished_has_none_either():
    row = ROW | {"rejected_finished": False, "rejected_cut": True}
    assert not only_pair("curated", row).rejected_finished
    assert not only_pair("curated", row, responses="kept").rejected_finished


def test_a_flag_that_is_no_truth_value_is_refused():
    with pytest.raises(RowError, match="chosen_finished is None, expected true or false"):
        adapt("curated", ROW | {"chosen_finished": None})


def run_folder(folder, published=False):
    """A run with a row to train on, another to test on and one dropped; its manifest is all that a source reads."""
    files = []
    for table, name in (("train", "a"), ("test", "b"), ("dropped", "c")):
        rows = datasets.Dataset.from_list([ROW | {"source_id": name}])
        if published:
            path = f"{'dropped' if table == 'dropped' else 'data'}/{table}-00000-of-00001.parquet"
            rows.to_parquet(folder / path)
        else:
            path = f"{'dropped' if table == 'dropped' else f'dataset/{table}'}/data-00000-of-00001.arrow"
            rows.save_to_disk((folder / path).parent)
        files.append({"path": path, "rows": 1, "sha256": file_sha256(folder / path)})
    manifest = {"version": "1", "fingerprint": "f", "files": files, "a_key_of_another_release": 1}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def ids(path, **options):
    return [name for batch in read(path, kind="curated", **options) for name in batch.pairs["source_id"].to_pylist()]


@pytest.mark.parametrize("published", [False, True])
def test_the_folder_of_a_run_stands_for_the_split_that_its_manifest_names(tmp_path, published):
    run = run_folder(tmp_path / "run", published)
    assert ids(run) == ["a"]
    assert ids(run, split="test") == ["b"]
    with pytest.raises(SourceError, match="has the splits train, test; expected split 'dropped'"):
        ids(run, split="dropped")


@pytest.mark.parametrize("published", [False, True])
def test_files_that_its_manifest_does_not_name_are_not_read_and_told_in_one_line(tmp_path, published, caplog):
    run = run_folder(tmp_path / "run", published)
    shard = next((run / ("data" if published else "dataset/train")).glob("*train*" if published else "*.arrow"))
    foreign = shard.with_name("train-00001-of-00002.parquet" if published else "cache-0123.arrow")
    shutil.copy(shard, foreign)
    # A shard more in the file that datasets goes by is none of the run's either.
    state = run / "dataset" / "train" / "state.json"
    if state.is_file():
        state.write_text(json.dumps({"_data_files": [{"filename": shard.name}, {"filename": foreign.name}]}))
    assert ids(run) == ["a"]
    [line] = caplog.messages
    assert line.startswith(f"{run}: not of this run and not read")
    assert line.endswith(f": {foreign.relative_to(run)}")


@pytest.mark.parametrize("published", [False, True])
def test_a_shard_of_it_that_was_changed_or_is_gone_is_an_error_that_names_it(tmp_path, published):
    run = run_folder(tmp_path / "run", published)
    options = TypeAdapter(Source).validate_python({"path": str(run), "kind": "curated"})
    before = fingerprint(options)
    shard = next((run / ("data" if published else "dataset/train")).glob("*train*" if published else "*.arrow"))
    content = shard.read_bytes()
    shard.write_bytes(content + b"x")
    for look in (fingerprint, lambda options: list(read_rows(options))):
        with pytest.raises(SourceError, match=rf"{shard.name} has sha256 .* the run's manifest says .*restore it"):
            look(options)
    shard.unlink()
    with pytest.raises(SourceError, match=rf"{shard.name}: cannot be read: FileNotFoundError"):
        fingerprint(options)
    shard.write_bytes(content)
    assert fingerprint(options) == before


def test_a_run_that_died_or_whose_manifest_is_damaged_is_no_source(tmp_path):
    run = run_folder(tmp_path / "run")
    whole = (run / "manifest.json").read_text()
    (run / "manifest.json").write_text(whole[:50])
    with pytest.raises(SourceError, match=r"its manifest\.json cannot be read"):
        ids(run)
    (run / "manifest.json").write_text(whole.replace('"sha256"', '"md5"'))
    with pytest.raises(SourceError, match="its list of files is of another version of this project"):
        ids(run)
    (run / "manifest.json").write_text('{"name": "a web app"}')
    with pytest.raises(SourceError, match=r"its manifest\.json is none of this project"):
        ids(run)
    (run / "manifest.json").unlink()
    (run / ".work").mkdir()
    with pytest.raises(SourceError, match=r"the run in it died or is not done \(no manifest\.json\)"):
        ids(run)


def test_reading_it_as_plain_preferences_is_refused_because_cut_responses_would_be_ended(tmp_path):
    datasets.Dataset.from_list([ROW]).save_to_disk(tmp_path / "data")
    with pytest.raises(SourceError, match="it looks like kind curated"):
        read(tmp_path / "data", kind="preference")


@pytest.mark.parametrize("prompt", [QUESTION, chat(QUESTION)])
def test_rewardbench_rows_have_their_subset_whichever_form_the_prompt_has(prompt):
    row = {
        "id": 30, "subset": "alpacaeval-easy", "prompt": prompt, "chosen": "Nile, Po.", "chosen_model": "a",
        "rejected": "Nile.", "rejected_model": "b",
    }  # fmt: skip
    pair = only_pair("preference", row)
    assert (pair.prompt, pair.chosen, pair.rejected) == (ASKED, "Nile, Po.", "Nile.")
    assert (pair.source_id, pair.subset) == ("30", "alpacaeval-easy")


def test_rows_without_a_subset_have_none():
    assert only_pair("preference", {"prompt": QUESTION, "chosen": "a", "rejected": "b"}).subset is None


CASES = Path(__file__).parents[2] / "cases"


def as_curated(pair):
    """A row of schema.PAIRS as a run writes it, nothing cut."""
    whole = {f"{side}_full": pair[side] for side in ("chosen", "rejected")}
    return pair | whole | {"chosen_cut": False, "rejected_cut": False, "chosen_ids": [5, 6], "rejected_ids": [7]}


@pytest.mark.parametrize("name", ["tools", "reasoning", "system", "plain"])
def test_structure_comes_back_as_it_was_written(tmp_path, name):
    [before] = read(CASES / f"{name}.jsonl", kind="preference")
    pairs = before.pairs.to_pylist()
    datasets.Dataset.from_list([as_curated(pair) for pair in pairs]).save_to_disk(tmp_path / "run")
    for responses in ("full", "kept"):
        [after] = read(tmp_path / "run", kind="curated", responses=responses)
        assert after.pairs["pair_id"].to_pylist() == [pair["pair_id"] for pair in pairs]
        assert after.pairs["structure"].to_pylist() == [pair["structure"] for pair in pairs]
        assert after.quarantined == []


def test_what_is_left_of_a_cut_call_is_no_text_and_goes_to_the_quarantine():
    row = ROW | {"structure": '{"chosen":{"tool_calls":[]},"tools":[{"name":"f"}]}'}
    assert only_pair("curated", row).chosen_more == '{"tool_calls":[]}'
    with pytest.raises(RowError, match=r"the chosen response has tool_calls and was cut.*responses: full"):
        adapt("curated", row, responses="kept")


@pytest.mark.parametrize(
    ("structure", "message"),
    [
        ("{", "structure is '{', expected what a run of this project writes there"),
        ("[]", r"structure is '\[\]'"),
        ('{"tools": 3}', "structure is"),
        ('{"prompt": {"1": {"name": "x"}}}', "structure has fields of the turns 1 of a prompt of 1"),
        ('{"prompt": {"x": {}}}', "structure has fields of the turns x"),
    ],
)
def test_a_structure_that_no_run_wrote_is_refused(structure, message):
    with pytest.raises(RowError, match=message):
        adapt("curated", ROW | {"structure": structure})


def test_token_ids_of_a_run_are_taken_only_where_asked_and_of_kept_responses_as_many_as_were_kept():
    row = ROW | {"prompt_ids": [9], "chosen_keep": 2, "rejected_keep": 2}

    def ids(**options):
        pair = only_pair("curated", row, **options)
        return pair.prompt_ids, pair.chosen_ids, pair.rejected_ids

    assert ids() == (None, None, None)
    assert ids(token_ids="use") == ((9,), (1, 2, 3), (4, 2))
    assert ids(token_ids="use", responses="kept") == ((9,), (1, 2), (4, 2))
    with pytest.raises(RowError, match="chosen_keep is 4 of 3 tokens"):
        adapt("curated", row | {"chosen_keep": 4}, token_ids="use", responses="kept")
