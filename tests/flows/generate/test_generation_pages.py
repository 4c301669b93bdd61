"""What a generation says of itself when it is through: its rows, its prompts to read, and the files beside the data."""

import json
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
from generation_report_support import HOSTILE

from flows.generate.artifacts import PICTURES, _markdown
from flows.generate.pairing import Paired
from flows.generate.run import Judged
from flows.generate.shown import pair_rows, prompts_to_read, quarantined, response_rows
from transforms.pairing.scored import Scored
from transforms.pairing.strategies import PAIRED, REASONS, Pairs
from transforms.tables.parts import Parts
from transforms.tables.schema import ANSWERS

# Two prompts with three responses each; the last of all has no score.
SCORES = np.array([[1.0], [3.0], [2.0], [5.0], [5.0], [np.nan]])


def answers(prompt: int) -> pa.Table:
    """Three responses to a prompt, of 1, 2 and 3 tokens; the second ran out of room."""
    rows = [
        {
            "prompt_id": f"{prompt:016x}",
            "source": "prompts",
            "source_id": f"p{prompt}",
            "prompt": [{"role": "user", "content": f"question {prompt}"}],
            "response_index": at,
            "policy": "policy",
            "sample_index": at,
            "seed": at,
            "prompt_ids": [7],
            "response_ids": [9] * (at + 1),
            "response": f"answer {prompt}.{at}",
            "reasoning": "hm" if at == 2 else None,
            "finished": at != 1,
            "status": "usable",
            "why": None,
            "structure": None,
        }
        for at in range(3)
    ]
    return pa.Table.from_pylist(rows, schema=ANSWERS)


@pytest.fixture
def run(tmp_path):
    """A run of two parts, of one annotator with one objective."""
    parts = Parts(tmp_path / "answers")
    for prompt in (0, 1):
        parts.write(prompt, answers(prompt))
    judged = Judged(objectives=[np.arange(3.0)[:, None], np.arange(3.0)[:, None]])
    annotator = SimpleNamespace(label="reward", objectives=("help",))
    config = SimpleNamespace(seed=0)
    return SimpleNamespace(
        answers=parts, plan=SimpleNamespace(annotators=[annotator]), judged=[judged], config=config, work=tmp_path
    )


def paired(*, beyond: int = 0) -> Paired:
    scored = Scored(
        np.array([0, 0, 0, 1, 1, 1]),
        SCORES,
        np.array([1, 2, 3, 1, 2, 3]),
        np.array([True, False, True] * 2),
        ("reward",),
    )
    reason = np.array([PAIRED, REASONS.index("tie")], np.int8)
    pairs = Pairs(np.array([1, 2]), np.array([0, 0]), np.array([2.0, 1.0]), reason, 0)
    return Paired(scored, SCORES[:, 0], None, pairs, beyond, ["00aa", "00bb"], [])


def test_a_response_is_a_row_of_scalars_with_what_became_of_it(run) -> None:
    rows = response_rows(run, paired())
    assert rows["status"].to_list() == ["usable"] * 5 + ["unscored"]
    assert rows["chosen_in"].to_list() == [0, 1, 1, 0, 0, 0]
    assert rows["rejected_in"].to_list() == [2, 0, 0, 0, 0, 0]
    assert rows["tokens"].to_list() == [1, 2, 3, 1, 2, 3]
    assert rows["score_reward_help"].to_list() == [0.0, 1.0, 2.0] * 2
    assert not [name for name, kind in rows.schema.items() if kind.is_nested()]
    assert "response" not in rows.columns


def test_pairs_over_accept_are_no_rows(run) -> None:
    assert pair_rows(paired()).rows() == [(0, 1, 0, 2.0), (0, 2, 0, 1.0)]
    assert pair_rows(paired(beyond=1)).rows() == [(0, 1, 0, 2.0)]
    assert response_rows(run, paired(beyond=1))["chosen_in"].to_list() == [0, 1, 0, 0, 0, 0]


def test_a_prompt_to_read_has_its_responses_from_best_to_worst_and_those_without_a_score_last(run) -> None:
    found = paired(beyond=1)
    first, second = prompts_to_read(run, found, response_rows(run, found), pair_rows(found))
    assert (first.why, first.unpaired, first.margin) == ("the widest margin", None, 2.0)
    assert [(one.text, one.side) for one in first.responses] == [
        ("answer 0.1", "chosen"),
        ("answer 0.2", ""),
        ("answer 0.0", "rejected"),
    ]
    assert (second.why, second.unpaired, second.margin) == ("without a pair", "tie", None)
    assert [(one.text, one.score, one.status) for one in second.responses] == [
        ("answer 1.0", 5.0, "usable"),
        ("answer 1.1", 5.0, "usable"),
        ("answer 1.2", None, "unscored"),
    ]
    assert second.responses[2].scores == {"reward": None, "reward_help": 2.0}
    assert second.responses[2].reasoning == "hm"
    assert second.prompt == [{"role": "user", "content": "question 1"}]


def test_the_quarantine_of_the_run_is_summarised(run) -> None:
    row = {"stage": "load", "source": "s", "source_id": "1", "error": "empty", "row": {}}
    (run.work / "quarantine.jsonl").write_text((json.dumps(row) + "\n") * 3)
    assert [(kind.error, kind.lines) for kind in quarantined(run).kinds] == [("empty", 3)]


@pytest.fixture(scope="module")
def generated(tmp_path_factory):
    """A generation of two policies and two annotators by models of random weights, and its manifest."""
    from flows_support import call_plainly, model_folders, write_rows

    import flows.generate.flow
    from flows.generate.flow import run_generation
    from flows.generate.plan import plan_generation
    from flows.generate.run import GenerationRun
    from flows.recipe.generation import Generation
    from flows.versions.output_folder import output_folder, publish

    folder = tmp_path_factory.mktemp("generation")
    policy, reward = model_folders(folder)
    asked = [{"prompt": f"question {number} {HOSTILE[:20]}"} for number in range(4)]
    rows = write_rows(folder / "prompts.jsonl", [*asked, {"prompt": " "}])
    shared = {"model": str(policy), "engine": "transformers", "dtype": "float32", "n": 2, "max_new_tokens": 6}
    judge = {"kind": "reward", "model": str(reward), "engine": "transformers", "dtype": "float32"}
    config = Generation.model_validate(
        {
            "name": "unit",
            "prompts": [{"kind": "prompts", "path": str(rows)}],
            "policies": [shared | {"label": "warm"}, shared | {"label": "cold", "temperature": 0.2}],
            "annotators": [judge | {"name": "one"}, judge | {"name": "two"}],
            "pairing": {"unfinished": "allow"},
            "output": {"dir": str(folder / "out")},
            "ledger": str(folder / "ledger"),
        }
    )
    plan = plan_generation(config)
    with pytest.MonkeyPatch.context() as patch:
        call_plainly(patch, flows.generate.flow)
        with output_folder(plan.folder, fingerprint=plan.fingerprint, overwrite=False) as work:
            manifest = run_generation(GenerationRun(plan, work), lambda _name, call: call())
            publish(plan.folder, manifest)
    return plan.folder, manifest


@pytest.mark.slow
def test_report_figures_and_card_lie_beside_the_data_and_are_in_the_manifest(generated) -> None:
    folder, manifest = generated
    named = [file.path for file in manifest.files if not file.path.startswith(("dataset/", "responses/"))]
    assert named == [
        "quarantine.jsonl",
        "report.html",
        "figures/funnel.png",
        "figures/scores.png",
        "figures/length.png",
        "figures/margins.png",
        "README.md",
    ]
    assert all((folder / name).is_file() for name in named)
    html = (folder / "report.html").read_text()
    assert "<script" not in html
    assert "ordered most differently" not in html  # the two annotators are one model
    card = (folder / "README.md").read_text()
    assert all(f"](figures/{name}.png)" in card for name in ("funnel", "scores", "length", "margins"))


@pytest.mark.slow
def test_two_annotators_that_are_one_model_agree_wholly(generated) -> None:
    _, manifest = generated
    [two] = manifest.agreement
    assert two.tau is not None
    assert two.tau.value == pytest.approx(1.0)
    assert two.same_best is not None
    assert two.same_best.value == 1.0


@pytest.mark.slow
def test_the_card_lets_datasets_open_pairs_and_responses(generated, tmp_path) -> None:
    import datasets

    folder, manifest = generated
    pairs = datasets.load_dataset(str(folder), cache_dir=str(tmp_path))
    assert pairs["train"].num_rows == manifest.counts.pairs > 0
    responses = datasets.load_dataset(str(folder), "responses", cache_dir=str(tmp_path))["responses"]
    assert Counter(responses["policy"]) == {"warm": 8, "cold": 8}


@pytest.mark.slow
def test_prefect_is_shown_the_figures_that_the_folder_has(generated, tmp_path) -> None:
    folder, manifest = generated
    shown = _markdown(manifest, folder)
    assert shown.count("](data:image/png;base64,iVBOR") == len(PICTURES)
    assert "](data:" not in _markdown(manifest, tmp_path)
