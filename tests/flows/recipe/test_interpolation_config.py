import pytest
from pydantic import ValidationError

from flows.recipe.interpolation import InterpolateConfig


def test_a_weight_outside_of_0_and_1_is_what_it_is_for():
    assert [InterpolateConfig(a="x/y", b="smollm2", weight=weight).weight for weight in (1.1, -0.1)] == [1.1, -0.1]


@pytest.mark.parametrize("weight", [float("nan"), float("-inf")])
def test_a_weight_that_is_no_number_is_refused(weight):
    with pytest.raises(ValidationError, match=f"weight is {weight}, expected a finite number such as 0.9 or 1.1"):
        InterpolateConfig(a="x/y", b="smollm2", weight=weight)


def test_one_model_is_refused_and_two_revisions_of_it_are_two():
    with pytest.raises(ValidationError, match="a and b are both x/y: nothing lies between them"):
        InterpolateConfig(a="x/y", b="x/y", weight=0.9)
    assert InterpolateConfig(a="x/y", b="x/y", b_revision="step-100", weight=0.9).a_revision is None


def test_an_unknown_key_is_refused_and_each_key_says_what_it_means():
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        InterpolateConfig(a="x/y", b="smollm2", weight=0.9, normalize=True)
    assert all(field.description for field in InterpolateConfig.model_fields.values())
