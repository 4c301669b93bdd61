"""An objective says what it needs and what can be set; what does not fit is one error."""

from collections.abc import Iterator

import pytest
import torch
from objectives_support import PAIRWISE, POINTWISE, full

from trainers.objectives import OBJECTIVES, Responses, objective, pairwise, pointwise
from trainers.objectives.published import PUBLISHED
from trainers.objectives.registry import Positive
from transforms.errors import ConfigError

ONE = full(torch.tensor([-3.0, -4.0]), 0)


@pytest.fixture(autouse=True)
def _registry_as_it_was(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    before = dict(OBJECTIVES)
    yield
    OBJECTIVES.clear()
    OBJECTIVES.update(before)


def test_an_objective_is_added_by_writing_one_function() -> None:
    @pairwise(needs={"reference"}, source="here")
    def hinge(chosen: Responses, rejected: Responses, *, beta: Positive = 0.5) -> torch.Tensor:
        return torch.relu(1 - beta * (chosen.delta - rejected.delta))

    made = objective("hinge", beta=2)
    other = Responses(ONE.log_prob - 1, ONE.tokens, ONE.reference)
    assert made.losses(ONE, other).tolist() == [0.0, 0.0]
    assert made.needs == {"reference"}
    assert objective("hinge").settings.model_dump() == {"beta": 0.5}


def test_a_pointwise_objective_reads_one_group_of_responses() -> None:
    @pointwise(source="here")
    def likelihood(responses: Responses) -> torch.Tensor:
        return -responses.log_prob

    assert objective("likelihood").losses(ONE).tolist() == [3.0, 4.0]


def test_what_each_bundled_objective_needs() -> None:
    assert {name: set(found.needs) for name, found in OBJECTIVES.items()} == {
        "dpo": {"reference"},
        "ipo": {"reference"},
        "ipo_mean": {"reference", "lengths"},
        "slic": set(),
        "simpo": {"lengths"},
        "simpo_ref": {"lengths", "reference"},
        "alphapo": {"lengths"},
        "alphapo_ref": {"lengths", "reference"},
        "orpo": {"lengths"},
        "cpo": {"lengths"},
        "rpo": {"reference", "reward"},
        "cal_dpo": {"reference"},
        "sppo": {"reference"},
        "sppo_soft": {"reference", "reward"},
        "dro": {"reference", "reward", "value"},
        "rao": {"reference", "reward", "prompt_ratio"},
    }


@pytest.mark.parametrize("name", PAIRWISE + POINTWISE)
def test_an_objective_reads_nothing_that_it_does_not_say_it_needs(name: str) -> None:
    fields = OBJECTIVES[name].needs - {"lengths"}
    only = Responses(ONE.log_prob, ONE.tokens, **{field: getattr(ONE, field) for field in fields})
    sides = (only, only) if name in PAIRWISE else (only,)
    assert objective(name).losses(*sides).shape == (2,)
    if "lengths" not in OBJECTIVES[name].needs:
        longer = [
            Responses(**{f: getattr(one, f) for f in one.__slots__} | {"tokens": one.tokens + 5}) for one in sides
        ]
        assert torch.equal(objective(name).losses(*longer), objective(name).losses(*sides))


def test_what_the_batch_lacks_is_named() -> None:
    bare = Responses(ONE.log_prob, ONE.tokens, reference=ONE.reference)
    with pytest.raises(ConfigError) as caught:
        objective("dro").losses(bare)
    assert str(caught.value) == "objective dro needs reference, reward, value, but the batch has no reward, value"


def test_a_loss_called_without_the_registry_names_what_it_misses_too() -> None:
    bare = Responses(ONE.log_prob, ONE.tokens)
    with pytest.raises(ConfigError, match="reads reference of every response, but the batch has none"):
        OBJECTIVES["dpo"].function(bare, bare)


def test_pairs_are_not_taken_for_single_responses() -> None:
    with pytest.raises(ConfigError, match="objective dpo got 1 groups of responses, expected 2: chosen and rejected"):
        objective("dpo").losses(ONE)
    with pytest.raises(ConfigError, match="objective rao got 2 groups of responses, expected 1: responses, of both"):
        objective("rao").losses(ONE, ONE)


def test_all_wrong_settings_are_named_in_one_error_with_what_can_be_set() -> None:
    with pytest.raises(ConfigError) as caught:
        objective("simpo", beta=-1.0, gamma=0.5, gamma_beta_ratio=float("nan"))
    assert str(caught.value) == (
        "objective simpo: beta = -1.0: Input should be greater than 0; gamma_beta_ratio = nan: Input should be a "
        "finite number; gamma = 0.5: Extra inputs are not permitted. Its settings and their defaults: beta (2.0), "
        "gamma_beta_ratio (0.5)"
    )


def test_an_unknown_objective_names_those_there_are() -> None:
    with pytest.raises(
        ConfigError, match=r"objective 'dop' is unknown, expected one of alphapo, .*, dpo, .*, sppo_soft"
    ):
        objective("dop")


def test_a_name_is_given_once() -> None:
    with pytest.raises(ConfigError, match=r"an objective dpo is registered already, from arXiv 2305.18290"):

        @pairwise(source="here")
        def dpo(chosen: Responses, rejected: Responses) -> torch.Tensor:
            return chosen.log_prob


def test_a_setting_without_a_default_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"expected 2 positional arguments and settings that are keyword-only"):

        @pairwise(source="here")
        def mine(chosen: Responses, rejected: Responses, *, beta: float) -> torch.Tensor:
            return beta * chosen.log_prob


def test_published_settings_are_valid_and_say_where_they_are_known_from() -> None:
    for name, models in PUBLISHED.items():
        for published in models.values():
            assert objective(name, **published.settings).settings.model_dump().items() >= published.settings.items()
            assert published.source


def test_the_rows_of_alphapos_table_and_its_defaults_are_one_of_them() -> None:
    rows = {
        model: (
            found.settings["alpha"],
            found.settings["beta"],
            found.settings["gamma_beta_ratio"],
            found.learning_rate,
        )
        for model, found in PUBLISHED["alphapo"].items()
    }
    assert rows == {
        "llama-3-8b-instruct": (0.25, 10.0, 0.3, 1.1e-6),
        "mistral-7b-instruct": (0.25, 2.5, 0.1, 7e-7),
        "gemma-2-9b-it": (0.1, 10.0, 0.5, 8e-7),
    }
    assert objective("alphapo").settings.model_dump() == PUBLISHED["alphapo"]["llama-3-8b-instruct"].settings


def test_a_form_that_there_is_not_names_those_there_are() -> None:
    with pytest.raises(ConfigError, match=r"form = 'original': Input should be 'dpo', 'paper' or 'authors'"):
        objective("cal_dpo", form="original")
    with pytest.raises(ConfigError, match=r"likelihood = 'total': Input should be 'mean' or 'sum'"):
        objective("cpo", likelihood="total")
