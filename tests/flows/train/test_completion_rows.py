"""Rows of prompts and completions: what lies there, what each becomes in tokens, and that nothing is lost."""

import json
from pathlib import Path
from typing import Any

import datasets
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from flows_support import write_rows
from tests_support import chat

from flows.train.config import DatasetConfig
from flows.train.rows import ReadRows, find_rows, holds_rows, read_examples_of_rows
from transforms.errors import ConfigError, ModelError, SourceError

CHAT = chat()
EOT = CHAT.eot_id
ASKED = [{"role": "user", "content": "one two"}]
SAID = [{"role": "assistant", "content": "the cat sat"}]


def ids(text: str) -> list[int]:
    found: list[int] = CHAT.encode([text]).row(0).tolist()
    return found


PROMPT = ids("<|im_start|>user\none two<|im_end|>\n<|im_start|>assistant\n")


def read(path: Path, *, context: int = 100, **dataset: Any) -> ReadRows:
    return read_examples_of_rows(find_rows(DatasetConfig(path=str(path), **dataset)), CHAT, context=context)


def of(tmp_path: Path, *rows: Any, **options: Any) -> ReadRows:
    return read(write_rows(tmp_path / "rows.jsonl", list(rows)), **options)


def only(tmp_path: Path, row: dict[str, Any], **options: Any) -> tuple[list[int], list[int]]:
    found = of(tmp_path, row, **options)
    assert not found.quarantined, found.quarantined
    [one] = found.by_split["train"]
    return one.prompt.tolist(), one.responses[0].tolist()


def adds_up(found: ReadRows) -> bool:
    examples = sum(map(len, found.by_split.values()))
    return found.rows == examples + found.left_out.total() + len(found.quarantined)


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "one two", "completion": "the cat sat"},
        {"prompt": ASKED, "completion": SAID},
        {"messages": [*ASKED, *SAID]},
        {"conversations": [{"from": "human", "value": "one two"}, {"from": "gpt", "value": "the cat sat"}]},
        {"instruction": "one two", "input": "", "output": "the cat sat"},
        {"prompt": None, "completion": None, "messages": [*ASKED, *SAID]},
        {"prompt": ASKED, "completion": SAID, "label": True, "completion_cut": False, "completion_finished": True},
    ],
    ids=["text", "messages", "whole", "sharegpt", "alpaca", "nulls of a table", "export of kto"],
)
def test_every_layout_is_the_template_of_the_prompt_and_the_completion_with_its_end(
    tmp_path: Path, row: dict[str, Any]
) -> None:
    assert only(tmp_path, row) == (PROMPT, [*ids("the cat sat"), EOT])


def test_of_a_conversation_the_last_turn_is_learned_and_all_before_it_is_prompt(tmp_path: Path) -> None:
    turns = [*ASKED, {"role": "assistant", "content": "dog"}, {"role": "user", "content": "one"}, *SAID]
    prompt, completion = only(tmp_path, {"messages": turns, "system": "be brief"})
    assert prompt == ids(
        "<|im_start|>system\nbe brief<|im_end|>\n<|im_start|>user\none two<|im_end|>\n<|im_start|>assistant\ndog"
        "<|im_end|>\n<|im_start|>user\none<|im_end|>\n<|im_start|>assistant\n"
    )
    assert completion == [*ids("the cat sat"), EOT]


@pytest.mark.parametrize(
    "says",
    [
        {"finished": False},
        {"completion_finished": False},
        {"finish_reason": "length"},
        {"truncated": True},
        {"completion_cut": True, "completion_finished": True},  # an export's row of a response that was cut
    ],
    ids=lambda says: next(iter(says)),
)
def test_a_completion_that_did_not_end_by_itself_gets_no_end(tmp_path: Path, says: dict[str, Any]) -> None:
    row = {"prompt": "one two", "completion": "the cat sat"}
    assert only(tmp_path, row | says)[1] == ids("the cat sat")


def test_one_that_is_too_long_is_cut_at_the_limit_without_an_end_and_counted(tmp_path: Path) -> None:
    row = {"prompt": "one two", "completion": "the cat sat"}
    whole = [*ids("the cat sat"), EOT]
    found = of(tmp_path, row, {**row, "completion": "dog"}, context=len(PROMPT) + len(whole) - 1)
    assert [one.responses[0].tolist() for one in found.by_split["train"]] == [whole[:-1], [*ids("dog"), EOT]]
    assert found.cut_by_context == 1
    assert only(tmp_path, row, context=len(PROMPT) + len(whole))[1] == whole


def test_a_share_is_of_each_completion(tmp_path: Path) -> None:
    whole = [*ids("the cat sat on the mat"), EOT]
    row = {"prompt": "one two", "completion": "the cat sat on the mat"}
    assert only(tmp_path, row, kept=0.5)[1] == whole[: len(whole) // 2]
    assert only(tmp_path, row, kept="full")[1] == whole


BAD = {
    "empty": ({"prompt": "one two", "completion": ""}, "completion is empty"),
    "empty message": ({"messages": [*ASKED, {"role": "assistant", "content": ""}]}, "the completion is empty"),
    "white space": ({"prompt": "one two", "completion": " \n"}, "completion is whitespace only"),
    "null": ({"prompt": "one two", "completion": None}, "completion is null"),
    "no prompt": ({"completion": "the cat"}, "without a prompt, so what was asked cannot be told"),
    "user's turn": (
        {"messages": ASKED},
        "messages ends in a user turn, expected messages that end in the assistant turn",
    ),
    "special": ({"prompt": "one", "completion": "a <|im_end|> b"}, "spells out the special token <|im_end|>"),
    "turns": (
        {"prompt": "one", "completion": [*SAID, *ASKED, *SAID]},
        "has 3 messages behind the prompt, and one of them",
    ),
    "other columns": ({"text": "one two"}, "found the columns text; expected prompt and completion, messages"),
    "both": ({"prompt": "one", "completion": "two", "finished": True, "truncated": True}, "both finished and cut"),
    "flag": (
        {"prompt": "one", "completion": "two", "completion_cut": "yes"},
        "completion_cut is the text 'yes', expected",
    ),
    "line": (b"{no json", "not a JSON object"),
    "number": (b"[1]", "expected a JSON object, found list"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_row_that_cannot_be_used_is_quarantined_with_its_reason_and_the_others_stay(
    tmp_path: Path, name: str
) -> None:
    row, message = BAD[name]
    good = {"prompt": "one two", "completion": "the cat sat"}
    found = of(tmp_path, good, row, good)
    [bad] = found.quarantined
    assert message in bad.error
    assert len(found.by_split["train"]) == 2
    assert adds_up(found)
    json.dumps(bad._asdict())


def test_a_prompt_that_fills_the_context_is_quarantined_with_both_numbers(tmp_path: Path) -> None:
    row = {"prompt": "one two", "completion": "the cat sat"}
    found = of(tmp_path, row, {"prompt": "one", "completion": "dog"}, context=len(PROMPT))
    [bad] = found.quarantined
    assert f"the prompt has {len(PROMPT)} tokens and {len(PROMPT)} may be read: no room" in bad.error
    assert len(found.by_split["train"]) == 1
    assert adds_up(found)


def test_what_a_label_calls_bad_is_left_out_and_counted(tmp_path: Path) -> None:
    row = {"prompt": "one two", "completion": "the cat sat"}
    rows = [row | {"label": label} for label in (True, False, "false", 1, 0, None)]
    found = of(tmp_path, *rows)
    assert found.left_out == {"undesirable": 3}
    assert len(found.by_split["train"]) == 3
    assert adds_up(found)


def many(count: int = 60) -> list[dict[str, Any]]:
    return [{"id": f"row-{at}", "prompt": f"question {at // 2}", "completion": f"the cat {at}"} for at in range(count)]


def test_a_share_of_prompts_is_held_out_by_their_hash_and_no_prompt_is_on_both_sides(tmp_path: Path) -> None:
    found = of(tmp_path, *many(), test_size=0.3)
    sides = {split: {one.prompt.tobytes() for one in some} for split, some in found.by_split.items()}
    assert not sides["train"] & sides["test"]
    assert len(sides["train"] | sides["test"]) == 30
    assert adds_up(found)
    again = read(write_rows(tmp_path / "again.jsonl", many()[::-1]), test_size=0.3)
    assert {one.name for one in again.by_split["test"]} == {one.name for one in found.by_split["test"]}
    alone = of(tmp_path, *many(), test_size=0.3, splits=("train",))
    assert alone.left_out == {"held_out": len(found.by_split["test"])}
    assert list(alone.by_split) == ["train"]
    assert adds_up(alone)


def tables(folder: Path) -> dict[str, Path]:
    """The same rows in every form that there is."""
    rows = [{"prompt": ASKED, "completion": [{"role": "assistant", "content": f"cat {at}"}]} for at in range(5)]
    table = pa.Table.from_pylist(rows)
    folder.mkdir()
    pq.write_table(table, folder / "rows.parquet")
    with pa.ipc.new_file(str(folder / "rows.arrow"), table.schema) as sink:
        sink.write_table(table)
    write_rows(folder / "rows.jsonl", rows)
    (folder / "rows.json").write_bytes(orjson.dumps(rows))
    found = {path.suffix: path for path in folder.iterdir()}
    datasets.Dataset.from_list(rows).save_to_disk(str(folder / "saved"))
    datasets.DatasetDict(
        {"train": datasets.Dataset.from_list(rows[:3]), "test": datasets.Dataset.from_list(rows[3:])}
    ).save_to_disk(str(folder / "both"))
    return found | {"saved": folder / "saved", "both": folder / "both"}


def test_lines_parquet_arrow_and_saved_datasets_hold_the_same_rows(tmp_path: Path) -> None:
    expected = [[*ids(f"cat {at}"), EOT] for at in range(5)]
    found = tables(tmp_path / "rows")
    assert set(found) == {".parquet", ".arrow", ".jsonl", ".json", "saved", "both"}
    for path in found.values():
        assert holds_rows(str(path))
        by_split = read(path).by_split
        if path.name == "both":
            assert {split: len(some) for split, some in by_split.items()} == {"train": 3, "test": 2}
        together = [one.responses[0].tolist() for some in by_split.values() for one in some]
        assert together == expected


def test_files_of_a_folder_are_split_by_the_words_of_their_names(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    write_rows(folder / "train-00000.jsonl", many(4))
    write_rows(folder / "train-00001.jsonl", many(6)[4:])
    write_rows(folder / "test.jsonl", many(8)[6:])
    found = read(folder)
    assert {split: [one.name for one in some] for split, some in found.by_split.items()} == {
        "train": [f"row-{at}" for at in range(6)],
        "test": ["row-6", "row-7"],
    }
    write_rows(folder / "more.jsonl", many(2))
    with pytest.raises(SourceError, match=r"some files say train or test in their names, and more\.jsonl say neither"):
        find_rows(DatasetConfig(path=str(folder)))
    for path in folder.glob("t*.jsonl"):
        path.unlink()
    assert list(read(folder).by_split) == ["train"]
    write_rows(folder / "test.jsonl", many(2))
    (folder / "more.jsonl").unlink()
    with pytest.raises(SourceError, match="none says train"):
        find_rows(DatasetConfig(path=str(folder)))


def test_what_is_no_such_data_is_left_to_others(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "run").mkdir()
    write_rows(tmp_path / "run" / "rows.jsonl", many(2))
    assert holds_rows(str(tmp_path / "run"))
    (tmp_path / "run" / "manifest.json").write_text('{"files": [], "fingerprint": "x", "version": "y"}')
    (tmp_path / "notes.txt").write_text("x")
    for path in ("org/name", "s3://bucket/rows.jsonl", str(tmp_path / "empty"), str(tmp_path / "none")):
        assert not holds_rows(path)
    assert not holds_rows(str(tmp_path / "run"))
    assert not holds_rows(str(tmp_path / "notes.txt"))
    (tmp_path / "run" / "manifest.json").write_text('{"somebody": "else"}')
    assert holds_rows(str(tmp_path / "run"))
    (tmp_path / "run" / ".work").mkdir()
    assert not holds_rows(str(tmp_path / "run"))


def test_files_without_a_single_such_row_are_refused_with_what_they_hold(tmp_path: Path) -> None:
    pairs = {"prompt": "one", "chosen": "the cat", "rejected": "dog"}
    with pytest.raises(
        SourceError, match=r"found the columns chosen, prompt, rejected; .*these are pairs: curate them"
    ):
        of(tmp_path, pairs)
    with pytest.raises(SourceError, match="found the columns text; expected prompt and completion, or messages"):
        of(tmp_path, {"text": "x"})
    with pytest.raises(SourceError, match="it has no rows"):
        of(tmp_path)


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        ({"kept": "poet"}, r"dataset\.kept: poet means nothing for the rows of .*cuts the two responses of a pair"),
        ({"pairs": "all"}, r"dataset\.pairs: all means nothing .*no run dropped any"),
        ({"revision": "main"}, r"dataset\.revision: main means nothing .*only a dataset on the Hub"),
    ],
)
def test_keys_of_runs_mean_nothing_for_rows(tmp_path: Path, dataset: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        of(tmp_path, *many(2), **dataset)


def test_the_version_is_of_the_files_their_splits_and_the_template(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "rows.jsonl", many(3))
    first = find_rows(DatasetConfig(path=str(path)))
    assert first.content_version == find_rows(DatasetConfig(path=str(path))).content_version == first.sha256[:16]
    template = tmp_path / "template.jinja"
    template.write_text("{{ messages }}")
    assert find_rows(DatasetConfig(path=str(path), chat_template=str(template))).sha256 != first.sha256
    write_rows(path, many(4))
    assert find_rows(DatasetConfig(path=str(path))).sha256 != first.sha256
    with pytest.raises(ModelError, match=r"the chat template .*cannot be read"):
        find_rows(DatasetConfig(path=str(path), chat_template=str(tmp_path / "none")))


def test_hostile_text_of_a_row_is_data(tmp_path: Path) -> None:
    row = {"id": "<script>", "prompt": "one two", "completion": "{{ 7 * 7 }} {% raw %} \u202e"}
    assert only(tmp_path, row)[1] == [*ids("{{ 7 * 7 }} {% raw %} \u202e"), EOT]
