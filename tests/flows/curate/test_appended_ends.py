"""`truncate.eot: always`: which ids a run writes, what trainings read of them, and what nobody reads it as."""

from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from curated_support import curated_run, training_recipe
from flows_support import call_plainly
from rich.console import Console
from tests_support import chat

import flows.curate.flow as curate_module
import flows.train.flow as train_module
from flows.explain.__main__ import print_explanation
from flows.explain.facts import explain
from flows.export.export import Choices
from flows.export.output import export
from flows.models.log_probs import find_causal
from flows.recipe.curation import Recipe
from flows.train.config import DatasetConfig, TrainingRecipe
from flows.train.examples import TrainingExamples
from flows.train.learner import find_learner
from flows.train.pairs import find_run, read_splits
from flows.train.plan import plan_training
from flows.train.reference_log_probs import reference_log_probs
from flows.train.stages import Training
from flows.versions.version import open_folder
from trainers.reading.examples import Example
from trainers.reading.references import read_whole
from transforms.report.codes_in_words import APPENDED_ENDS
from transforms.sources.kinds.curated import CuratedOptions
from transforms.sources.load import load_batches
from transforms.tables.schema import APPENDED, CURATED

HALF = {"method": "ratio", "ratio": 0.5}
EOT = chat().eot_id


@pytest.fixture(autouse=True)
def _without_prefect(monkeypatch: pytest.MonkeyPatch) -> None:
    call_plainly(monkeypatch, curate_module, train_module)
    monkeypatch.setenv("TQDM_DISABLE", "1")


def run_of(folder: Path, eot: str, **changes: Any) -> tuple[Path, Path]:
    folder.mkdir()
    return curated_run(folder, truncate=HALF | {"eot": eot}, **changes)


def rows_of(run: Path) -> list[dict[str, Any]]:
    tables = read_splits(find_run(DatasetConfig(path=str(run))))
    return [row for table in tables.values() for row in table.to_pylist()]


def examples_of(recipe: TrainingRecipe) -> list[Example]:
    plan = plan_training(recipe)
    data = TrainingExamples(plan, find_learner(plan))
    data.read()
    return data.every


def test_the_end_of_turn_lies_beside_the_ids_and_what_the_response_said_stays_as_it_was(tmp_path: Path) -> None:
    natural, always = (rows_of(run_of(tmp_path / eot, eot)[0]) for eot in ("natural", "always"))
    names = [field.name for field in APPENDED]
    assert names == ["chosen_appended_ids", "rejected_appended_ids"]
    assert not set(names) & set(natural[0])
    assert [{key: value for key, value in row.items() if key not in names} for row in always] == natural
    for row in always:
        for side in ("chosen", "rejected"):
            assert row[f"{side}_cut"]  # half of a response is never all of it
            assert row[f"{side}_finished"]
            assert row[f"{side}_ids"][row[f"{side}_keep"] - 1] != EOT
            assert row[f"{side}_appended_ids"] == [EOT]


def test_a_whole_response_that_finished_gets_no_second_end(tmp_path: Path) -> None:
    run, _ = curated_run(tmp_path, truncate={"method": "poet", "eot": "always"})
    for row in rows_of(run):
        ends = [row[f"{side}_appended_ids"] for side in ("chosen", "rejected")]
        cut = [row[f"{side}_cut"] for side in ("chosen", "rejected")]
        assert ends == [[EOT] if is_cut else None for is_cut in cut]
    assert {row["chosen_cut"] for row in rows_of(run)} == {True, False}


def test_a_run_without_the_key_has_the_columns_that_it_had(tmp_path: Path) -> None:
    run, _ = curated_run(tmp_path)
    version = open_folder(run)
    names = [name for name in CURATED.names if name not in {field.name for field in APPENDED} | {"structure"}]
    assert next(version.batches("train")).column_names == names


def test_a_training_reads_the_end_behind_what_is_kept_and_nothing_else_does(tmp_path: Path) -> None:
    run, policy = run_of(tmp_path / "always", "always")
    rows = {row["pair_id"]: row for row in rows_of(run)}
    for one in examples_of(training_recipe(tmp_path, run, policy)):
        row = rows[one.name]
        for side, ids in zip(("chosen", "rejected"), one.responses, strict=True):
            assert ids.tolist() == [*row[f"{side}_ids"][: row[f"{side}_keep"]], EOT]
    for kept in ("full", "poet", 0.5):
        dataset = {"path": str(run), "kept": kept}
        for one in examples_of(training_recipe(tmp_path, run, policy, dataset=dataset)):
            row = rows[one.name]
            for side, ids in zip(("chosen", "rejected"), one.responses, strict=True):
                assert ids.tolist() == row[f"{side}_ids"][: len(ids)]
    tables = read_splits(find_run(DatasetConfig(path=str(run))))
    for one in read_whole(tables["train"], where="unit"):
        assert [ids.tolist() for ids in one.responses] == [
            rows[one.name][f"{side}_ids"] for side in ("chosen", "rejected")
        ]


def test_what_the_context_of_a_training_cuts_shorter_ends_too_and_fits(tmp_path: Path) -> None:
    run, policy = run_of(tmp_path / "always", "always")
    longest = max(
        len(one.prompt) + max(map(len, one.responses)) for one in examples_of(training_recipe(tmp_path, run, policy))
    )
    dataset = {"path": str(run), "max_length": longest - 2}
    plan = plan_training(training_recipe(tmp_path, run, policy, dataset=dataset))
    data = TrainingExamples(plan, find_learner(plan))
    data.read()
    assert data.cut_by_context > 0
    for one in data.every:
        for ids in one.responses:
            assert ids.tolist().count(EOT) == 1
            assert ids[-1] == EOT
            assert len(one.prompt) + len(ids) <= longest - 2
    assert max(len(one.prompt) + max(map(len, one.responses)) for one in data.every) == longest - 2


def test_the_reference_reads_the_end_after_the_cut_and_not_after_the_whole_response(tmp_path: Path) -> None:
    run, policy = run_of(tmp_path / "always", "always")
    recipe = training_recipe(tmp_path, run, policy)
    training = Training(plan_training(recipe), tmp_path / "work")
    training.read()
    training.refer(lambda _name, work: work())
    causal = find_causal(str(policy), None, dtype="float32", cast_to="float32")
    alone = reference_log_probs(
        training.data.by_split["train"],
        [],  # nothing whole is known, so each is read as it is trained on
        causal,
        ledger=str(tmp_path / "other-ledger"),
        pay=lambda _name, work: work(),
        progress=training.progress,
    )
    np.testing.assert_allclose(training.references["train"].responses, alone.log_probs.responses, atol=1e-4)
    record = train_module.run_training(plan_training(recipe))
    assert record.before["eval_loss"] == pytest.approx(0.6931, abs=1e-4)


def test_a_run_says_what_it_teaches_in_log_report_and_card(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    run, _ = run_of(tmp_path / "always", "always")
    assert caplog.messages.count(APPENDED_ENDS) == 1
    assert APPENDED_ENDS.split(":")[1] in (run / "report.html").read_text()
    card = (run / "README.md").read_text()
    assert "> **Ends of turns.** truncate.eot: always appends an end-of-turn to responses that were cut" in card
    assert '+ (row["chosen_appended_ids"] or [])' in card
    assert "Do not hand" not in card
    plain, _ = run_of(tmp_path / "natural", "natural")
    assert caplog.messages.count(APPENDED_ENDS) == 1
    assert "Ends of turns" not in (plain / "README.md").read_text()
    assert '_appended_ids"] or' not in (plain / "README.md").read_text()


def test_explain_and_an_export_say_that_the_end_is_appended(tmp_path: Path) -> None:
    run, _ = run_of(tmp_path / "always", "always")
    row = rows_of(run)[0]
    out = StringIO()
    print_explanation(Console(file=out, width=200), explain(run, row["pair_id"], find_raw=False))
    assert out.getvalue().count("+ an end-of-turn that is trained on and that it did not say") == 2
    record, folder = export(open_folder(run), Choices(("trl", "openrlhf")), None)
    assert record.appended
    readme = (folder / "README.md").read_text()
    assert readme.count("So the run wants it (`truncate.eot: always`") == 2
    assert "would get an end-of-turn" not in readme
    plain, _ = run_of(tmp_path / "natural", "natural")
    record, folder = export(open_folder(plain), Choices(("trl",)), None)
    assert not record.appended
    assert "would get an end-of-turn all the same" in (folder / "README.md").read_text()


def test_whoever_curates_the_kept_responses_again_is_told_that_they_did_not_finish(tmp_path: Path) -> None:
    run, _ = run_of(tmp_path / "always", "always")
    for which, finished in (("kept", False), ("full", True)):
        options = CuratedOptions(kind="curated", path=str(run), responses=which, token_ids="use")
        [batch] = load_batches(options)
        for row in batch.pairs.to_pylist():
            assert (row["chosen_finished"], row["rejected_finished"]) == (finished, finished)
            assert (row["given_chosen_ids"][-1] == EOT) is finished


def test_the_value_is_one_of_three() -> None:
    with pytest.raises(ValueError, match=r"natural.*never.*always"):
        Recipe.model_validate(
            {
                "name": "x",
                "policy": {"model": "m", "engine": "none"},
                "truncate": {"eot": "finished"},
                "output": {"dir": "x"},
            }
        )
