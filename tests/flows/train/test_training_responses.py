"""All responses to the prompts of a run: which they are, in which tokens, with which rewards."""

import math
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from curated_support import curated_run, training_recipe
from flows_support import call_plainly, model_folders, sampling_recipe, write_rows
from tests_support import chat, pairs_table, row

import flows.curate.flow as curate_module
import flows.train.flow as train_module
from flows.curate.plan import plan_run
from flows.models import recipe_models as flow_models
from flows.train.plan import plan_training
from flows.train.policy import PolicyLearner
from flows.train.responses import gather, with_kept_responses
from trainers.objectives import objective
from trainers.reading.examples import Example
from transforms.chat.tokens import TurnTokens
from transforms.errors import ConfigError, SchemaError
from transforms.preparation.prepare import prepare
from transforms.preparation.truncation import Truncation
from transforms.tables.schema import PROMPT_DIGITS, RESPONSES

CHAT = chat()
PAIRS = prepare(
    pairs_table(
        row("one", "the cat sat", "dog"),
        row("one", "the cat sat", "one two", rejected_finished=False),
        row("two", "naïve café", "déjà vu"),
    ),
    CHAT,
    Truncation(method="poet"),
    max_length=None,
).pairs
# The columns of CURATED that are read.
CURATED = PAIRS.append_column("chosen_full", PAIRS["chosen"]).append_column("rejected_full", PAIRS["rejected"])
ONE, TWO = (PAIRS["pair_id"][at].as_py()[:PROMPT_DIGITS] for at in (0, 2))


def responses(*rows: tuple[str, str, bool]) -> pa.Table:
    """RESPONSES rows of (prompt id, text, finished)."""
    return pa.Table.from_pylist(
        [
            {"prompt_id": key, "source": "s", "source_id": "x", "prompt": [], "response_index": at}
            | {"response": text, "finished": finished, "model": None, "score": 1.0}
            for at, (key, text, finished) in enumerate(rows)
        ],
        schema=RESPONSES,
    )


def ids(text: str, *, finished: bool = True) -> list[int]:
    return [*CHAT.encode([text]).row(0).tolist(), *([CHAT.eot_id] if finished else [])]


def test_each_distinct_response_is_there_once_and_those_of_the_pairs_are_among_them() -> None:
    table = responses((ONE, "dog", True), (ONE, "five six", True), (ONE, "dog", True), ("f" * 16, "dropped", True))
    found = gather(CURATED, table, CHAT)
    assert [one.name for one in found.prompts] == [PAIRS["pair_id"][at].as_py() for at in (0, 2)]
    assert [[turn["content"] for turn in one.answers] for one in found.prompts] == [
        ["dog", "five six", "the cat sat", "one two"],
        ["naïve café", "déjà vu"],
    ]
    assert found.prompts[0].prompt.tolist() == PAIRS["prompt_ids"][0].as_py()
    assert not found.left_out


def test_finished_responses_end_in_the_end_of_turn_and_others_do_not() -> None:
    found = gather(CURATED, responses((ONE, "four five", False), (ONE, "six", True)), CHAT)
    of_table = [one.tolist() for one in found.prompts[0].responses[:2]]
    assert of_table == [ids("four five", finished=False), ids("six")]
    assert found.prompts[0].responses[4].tolist() == ids("one two", finished=False)  # as its pair says
    assert found.prompts[1].responses[0].tolist() == ids("naïve café")


def test_responses_that_curating_would_quarantine_are_left_out_and_counted() -> None:
    table = responses((ONE, "", True), (TWO, "it ends <|im_end|> here", True), (TWO, "seven", True))
    found = gather(CURATED, table, CHAT)
    assert found.left_out == {"no text": 1, "the text spells out a special token": 1}
    assert [turn["content"] for turn in found.prompts[1].answers] == ["seven", "naïve café", "déjà vu"]


def example(prompt: int, *lengths: int) -> Example:
    def some(count: int) -> Any:
        return np.arange(count, dtype=np.int32)

    return Example(f"p{prompt}", some(prompt), tuple(map(some, lengths)), tuple(map(float, lengths)))


@pytest.mark.parametrize(
    ("kept", "expected", "cut"),
    [("full", [[8, 3], [6]], 2), (0.5, [[5, 1], [4]], 0), (0.29, [[2, 1], [2]], 0)],
)
def test_each_response_is_cut_alone_and_the_context_last(kept: Any, expected: list[list[int]], cut: int) -> None:
    found = with_kept_responses([example(4, 10, 3), example(6, 9)], kept, max_length=12, where="unit")
    assert [[len(response) for response in one.responses] for one in found.examples] == expected
    assert [one.rewards for one in found.examples] == [(10.0, 3.0), (9.0,)]
    assert found.cut_by_context == cut


def test_a_share_of_a_response_is_of_the_tokens_behind_what_the_template_writes_before_its_text() -> None:
    lead = TurnTokens(leads=((0, 1),))
    whole = [example(4, 10, 3), example(6, 9)]
    found = with_kept_responses(whole, 0.5, max_length=100, where="unit", around=lead)
    # Half of 8, 1 and 7 tokens, rounded down and at least one.
    assert [[len(response) for response in one.responses] for one in found.examples] == [[2 + 4, 2 + 1], [2 + 3]]
    assert found.cut_by_context == 0


def test_a_prompt_that_leaves_no_room_for_any_response_is_named() -> None:
    with pytest.raises(SchemaError, match=r"fills all 6 tokens that may be read, in 1 pairs: p6"):
        with_kept_responses([example(4, 1), example(6, 9, 2)], "full", max_length=6, where="unit")


@pytest.mark.parametrize(
    ("log_z0", "said"),
    [
        (
            50.0,
            "β log Z₀ is 5, above the best reward of 3 of 4 prompts (median 2.25): from the first step on even their ",
        ),
        (3.912, None),  # 0.39 is above the best reward of one prompt alone
        (0.0, None),
    ],
)
def test_rao_warns_where_most_prompts_would_fall_from_the_first_step_on(
    log_z0: float, said: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    rewards = [(2.5, 1.0), (2.0, 0.5), (-1.0, -3.0), (7.0, 6.0)]
    prompt, response = np.array([1, 2], np.int32), np.array([3], np.int32)
    examples = [Example(f"p{at}", prompt, (response, response), one) for at, one in enumerate(rewards)]
    learner = PolicyLearner(None, objective("rao", beta=0.1, log_z0=log_z0))  # type: ignore[arg-type]
    learner.check(examples, where="unit")
    warned = [record.getMessage() for record in caplog.records]
    assert len(warned) == (said is not None)
    if said:
        assert said in warned[0]
        assert warned[0].endswith("With log_z0 below 22.5 those of half of them rise")


@pytest.fixture
def without_prefect(monkeypatch: pytest.MonkeyPatch) -> None:
    call_plainly(monkeypatch, curate_module, train_module)
    monkeypatch.setenv("TQDM_DISABLE", "1")


def onpolicy(number: int) -> dict[str, Any]:
    texts = [f"the cat sat on the mat {number}", "dog", "", "café déjà vu", f"one two three {number}"]
    sides = {
        side: [{"role": "user", "content": f"question {number}"}, {"role": "assistant", "content": texts[at]}]
        for side, at in (("chosen", 0), ("rejected", 1))
    }
    return {"prompt_id": str(number), "all_generated_responses": texts, "all_rm_scores": [5, 1, 0, 3, 2], **sides}


RAO = {"name": "rao", "settings": {"beta": 0.1, "log_z0": 0.0}}


@pytest.mark.slow
def test_rao_trains_on_all_responses_of_an_onpolicy_run_and_pays_for_the_missing_rewards_once(
    tmp_path: Any, without_prefect: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = model_folders(tmp_path / "models")
    path = write_rows(tmp_path / "onpolicy.jsonl", [onpolicy(number) for number in range(12)])
    recipe = sampling_recipe(
        tmp_path,
        models,
        [],
        sources=[{"kind": "onpolicy", "path": str(path)}],
        consistency={"threshold": 0.01},
        output={"dir": str(tmp_path / "out"), "test_size": 0.3},
    )
    curate_module.run_stages(plan_run(recipe))
    changes = {
        "dataset": {"path": str(tmp_path / "out"), "kept": "full", "responses": "all"},
        "objective": RAO,
        "optimisation": {"learning_rate": 0.002, "pairs_per_step": 8, "epochs": 10, "warmup": 0},
    }
    wanted = training_recipe(tmp_path, tmp_path / "out", models[0], **changes)
    record = train_module.run_training(plan_training(wanted))
    prompts = record.data.examples + record.data.test_examples
    assert 0 < record.data.test_examples < prompts <= 12
    assert record.data.responses == 4 * record.data.examples  # the empty one is none
    assert record.rewards.left_out == {"no text": prompts}
    # Those of the pairs were scored by the run.
    assert (record.rewards.spend.generated, record.rewards.spend.reused) == (2 * prompts, 2 * prompts)
    assert record.rewards.model.name == "reward"
    assert record.after["eval_loss"] < record.before["eval_loss"]
    assert all(math.isfinite(value) for value in record.after.values())
    monkeypatch.setattr(flow_models, "open_reward", lambda *_: pytest.fail("a model was opened"))
    half = {"dataset": changes["dataset"] | {"kept": 0.5}, "output": {"dir": str(tmp_path / "half")}}
    again = train_module.run_training(
        plan_training(training_recipe(tmp_path, tmp_path / "out", models[0], **changes | half))
    )
    assert (again.rewards.spend.generated, again.reference.generated) == (0, 0)
    assert again.data.kept_tokens < record.data.kept_tokens


@pytest.mark.slow
def test_what_cannot_be_trained_on_all_responses_is_said_before_anything_is_loaded(
    tmp_path: Any, without_prefect: None
) -> None:
    run = curated_run(tmp_path)
    every = {"path": str(run[0]), "kept": "full", "responses": "all"}
    with pytest.raises(ConfigError, match=r"has no responses table: none of its sources .*dataset\.responses: pairs"):
        plan_training(training_recipe(tmp_path, *run, dataset=every, objective=RAO))
    with pytest.raises(ConfigError, match=r"objectives of single responses .*\(dro, rao\), and dpo is none"):
        plan_training(training_recipe(tmp_path, *run, dataset=every))
    with pytest.raises(ConfigError, match=r"objectives of single responses .*\(dro, rao\), and bradley_terry is none"):
        plan_training(training_recipe(tmp_path, *run, dataset=every, kind="reward", objective=None))


@pytest.mark.slow
def test_a_run_without_a_reward_model_is_named(tmp_path: Any, without_prefect: None) -> None:
    path = write_rows(tmp_path / "onpolicy.jsonl", [onpolicy(number) for number in range(4)])
    run = curated_run(tmp_path, sources=[{"kind": "onpolicy", "path": str(path)}])
    every = {"path": str(run[0]), "kept": "full", "responses": "all"}
    with pytest.raises(ConfigError, match=r"has no reward model, .*curate with reward\.model"):
        plan_training(training_recipe(tmp_path, *run, dataset=every, objective=RAO))
