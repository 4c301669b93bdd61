"""What a run wrote, read again: whole or kept responses, and end-of-turns only where they belong."""

from pathlib import Path

import datasets
import pytest
from pydantic import TypeAdapter
from sources_support import ASKED, QUESTION, adapt, chat, only_pair

from transforms.errors import RowError, SourceError
from transforms.sources import Source
from transforms.sources.load import load_batches

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


def test_the_folder_of_a_run_stands_for_its_dataset(tmp_path):
    both = datasets.DatasetDict({split: datasets.Dataset.from_list([ROW]) for split in ("train", "test")})
    both.save_to_disk(tmp_path / "run" / "dataset")
    datasets.Dataset.from_list([ROW] * 3).save_to_disk(tmp_path / "run" / "dropped")
    (tmp_path / "run" / "manifest.json").write_text("{}")
    [batch] = read(tmp_path / "run", kind="curated", split="test")
    assert (batch.raw_rows, batch.subsets) == (1, ["shp"])
    assert batch.pairs["chosen"].to_pylist() == ["The Nile, the Rhine and the Po."]


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
