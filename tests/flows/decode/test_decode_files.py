"""Whose quarantine.jsonl lies in an output folder."""

import pytest

from flows.compare import output as compare
from flows.decode.files import OTHERS, of_another_command, quarantine_is_ours
from flows.decode.plan import _refuse_others
from flows.diff import output as diff
from flows.evaluate import plan as evaluate
from flows.export import output as export
from flows.reproduce import data_readers
from flows.rounds import output as rounds
from flows.train import output as train
from flows.versions import output_folder
from transforms.errors import OutputError


def test_what_every_other_command_leaves_is_known():
    assert set(OTHERS) == {
        output_folder.MANIFEST,
        output_folder.WORK,
        evaluate.NUMBERS,
        train.RECORD,
        train.CHECKPOINTS,
        data_readers.AUDIT,
        compare.NUMBERS,
        compare.SHARED,
        rounds.NUMBERS,
        export.NUMBERS,
        diff.NUMBERS,
    }


@pytest.mark.parametrize("name", OTHERS)
def test_bad_prompts_do_not_go_where_another_command_left_its_own(name, tmp_path):
    (tmp_path / "decode.json").write_text('{"read": {}}')
    _refuse_others(tmp_path)
    assert quarantine_is_ours(tmp_path)
    (tmp_path / name).touch()
    assert of_another_command(tmp_path) == name
    assert not quarantine_is_ours(tmp_path)
    with pytest.raises(OutputError, match=f"holds {name} of another command.*choose another --out"):
        _refuse_others(tmp_path)


@pytest.mark.parametrize("text", [None, '{"read": null}', "{}", "[]", "no JSON"])
def test_a_quarantine_is_ours_only_where_a_decode_json_says_that_prompts_were_read(text, tmp_path):
    if text is not None:
        (tmp_path / "decode.json").write_text(text)
    assert not quarantine_is_ours(tmp_path)
