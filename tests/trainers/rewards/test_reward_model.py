"""Training from end to end on a tiny random policy."""

import json
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pyarrow as pa
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForSequenceClassification

from trainers.reading.pair_tokens import read_pairs
from trainers.rewards.features import sequence_features
from trainers.rewards.fit import RewardTrainConfig, RewardTrainResult, train_reward_model
from trainers.steps.settings import HeadOnly
from transforms.errors import ModelError, OutputError, SchemaError

MakePairs = Callable[..., pa.Table]
QUICK = RewardTrainConfig(head=HeadOnly(weight_decays=(0.1,)))


def train(pairs: pa.Table, policy: Path, out: Path, config: RewardTrainConfig | None = None) -> RewardTrainResult:
    return train_reward_model(pairs, policy=policy, out=out, config=config or QUICK)


def head(folder: Path) -> torch.Tensor:
    return load_file(folder / "model.safetensors")["score.weight"]


@pytest.fixture(scope="module")
def trained(make_pairs: MakePairs, policy: Path, tmp_path_factory: pytest.TempPathFactory) -> RewardTrainResult:
    return train_reward_model(
        make_pairs(24),
        policy=policy,
        out=tmp_path_factory.mktemp("trained") / "reward",
        config=RewardTrainConfig(),
        evaluation={"later": make_pairs(20, first=100), "shared": make_pairs(4, first=20)},
    )


def test_capitals_are_told_from_small_letters_on_other_prompts(trained: RewardTrainResult) -> None:
    later = trained.evaluation["later"]
    assert (later.pairs, later.accuracy) == (20, 1.0)
    assert later.low == pytest.approx(0.8389, abs=1e-4)
    assert later.mean_margin > 1


def test_the_saved_model_scores_as_the_trainer_did(
    trained: RewardTrainResult, make_pairs: MakePairs, policy: Path
) -> None:
    # In fp32 from the saved folder, one sequence at a time, against the recorded mean margin (bf16 features).
    model = AutoModelForSequenceClassification.from_pretrained(trained.folder, dtype=torch.float32).eval()
    rows = make_pairs(20, first=100).to_pylist()
    with torch.inference_mode():
        margins = [
            model(torch.tensor([row["prompt_ids"] + row["chosen_ids"]])).logits.item()
            - model(torch.tensor([row["prompt_ids"] + row["rejected_ids"]])).logits.item()
            for row in rows
        ]
    assert sum(margins) / len(margins) == pytest.approx(trained.evaluation["later"].mean_margin, rel=0.02)


def test_features_times_head_is_what_the_saved_model_answers_in_fp32(
    trained: RewardTrainResult, make_pairs: MakePairs
) -> None:
    model = AutoModelForSequenceClassification.from_pretrained(trained.folder, dtype=torch.float32).eval()
    sequences = read_pairs(make_pairs(6), where="t").sequences
    features = sequence_features(model.model, sequences, device=torch.device("cpu"), batch_tokens=200)
    padded = [[*ids.tolist(), *[model.config.pad_token_id] * (60 - len(ids))] for ids in sequences]
    with torch.inference_mode():
        answers = model(torch.tensor(padded), attention_mask=torch.tensor(padded) != 0).logits[:, 0]
    torch.testing.assert_close(features @ head(trained.folder)[0], answers.clone(), atol=1e-4, rtol=0)


def test_validation_covers_every_pair_once_and_by_group(make_pairs: MakePairs, policy: Path, tmp_path: Path) -> None:
    result = train(make_pairs(15, group=["a", "b", "b"] * 5), policy, tmp_path / "reward")
    assert result.validation.pairs == 15
    assert {name: found.pairs for name, found in result.validation_by_group.items()} == {"a": 5, "b": 10}


def test_training_json_tells_what_was_done(trained: RewardTrainResult) -> None:
    record = json.loads((trained.folder / "training.json").read_text())
    assert record["data"]["pairs"] == 24
    assert record["data"]["sha256"] == trained.data_sha256
    assert record["config"]["head"]["folds"] == 5
    assert record["evaluation"]["later"]["accuracy"] == 1.0
    assert record["versions"]["torch"] == version("torch")
    assert set(record["validation_losses"]) == {str(decay) for decay in HeadOnly().weight_decays}


def test_shuffled_rows_and_other_evaluation_sets_give_the_same_head_bit_for_bit(
    trained: RewardTrainResult, make_pairs: MakePairs, policy: Path, tmp_path: Path
) -> None:
    rows = make_pairs(24)
    again = train(rows.take(list(reversed(range(24)))), policy, tmp_path / "again", RewardTrainConfig())
    assert torch.equal(head(again.folder), head(trained.folder))
    assert again.data_sha256 == trained.data_sha256


def test_the_weights_below_the_head_are_the_policys(trained: RewardTrainResult, policy: Path) -> None:
    name = "model.layers.0.mlp.down_proj.weight"
    saved, before = (load_file(folder / "model.safetensors")[name] for folder in (trained.folder, policy))
    assert torch.equal(saved, before)


def test_progress_names_its_stages(make_pairs: MakePairs, policy: Path, tmp_path: Path) -> None:
    stages: list[str] = []
    train_reward_model(
        make_pairs(6),
        policy=policy,
        out=tmp_path / "reward",
        config=QUICK,
        evaluation={"other": make_pairs(2, first=50)},
        progress=lambda stage, done, total: stages.append(stage),
    )
    assert list(dict.fromkeys(stages)) == ["training features", "evaluation features"]


def test_an_existing_folder_is_not_overwritten(make_pairs: MakePairs, policy: Path, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="exists; delete it or choose another folder"):
        train(make_pairs(4), policy, tmp_path)


def test_ids_of_another_tokenizer_are_refused_before_anything_is_computed(
    make_pairs: MakePairs, policy: Path, tmp_path: Path
) -> None:
    with pytest.raises(SchemaError, match=r"training pairs: token ids outside 0…258 in 2 pairs: pair-0, pair-1\."):
        train(make_pairs(2, prompt_ids=[[1, 400], [1, 401]]), policy, tmp_path / "reward")
    assert list(tmp_path.iterdir()) == []


def test_a_bad_evaluation_set_is_named(make_pairs: MakePairs, policy: Path, tmp_path: Path) -> None:
    with pytest.raises(SchemaError, match="evaluation set hard: chosen_keep must lie between 1"):
        train_reward_model(
            make_pairs(4),
            policy=policy,
            out=tmp_path / "reward",
            config=RewardTrainConfig(),
            evaluation={"hard": make_pairs(1, first=9, chosen_keep=[0])},
        )


def test_a_policy_that_computes_nan_is_refused(make_pairs: MakePairs, policy: Path, tmp_path: Path) -> None:
    for path in policy.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    weights = load_file(policy / "model.safetensors")
    weights["model.norm.weight"][0] = torch.nan
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match="last hidden state is not finite for 4 pairs"):
        train(make_pairs(4), tmp_path, tmp_path / "reward")
    assert not (tmp_path / "reward").exists()
