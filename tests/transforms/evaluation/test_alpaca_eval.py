"""AlpacaEval 2's length-controlled win rate: what the package says, whatever the order of the judgements."""

import math
import random

import alpaca_eval_world as world
import numpy as np
import pytest

from transforms.errors import SourceError
from transforms.evaluation.alpaca_eval import (
    Judgement,
    length_controlled,
    match,
    over_instructions,
    read_benchmark,
)

# length_controlled_winrate and lc_standard_error of alpaca_eval 0.6.6 (scikit-learn 1.9.1), in percent; the benchmark
# alpaca_eval_rates.py asks the package itself.
PACKAGE = {
    "longer": (49.463068761363246, 1.0447303768710474),
    "shorter": (55.93150950096254, 1.2405279383733903),
    "weak": (13.993197723206094, 0.5358530763331958),
}


@pytest.fixture(scope="module")
def benchmark():
    return read_benchmark(world.instructions(), world.gamed())


def judgements(model):
    return [
        Judgement(
            row["instruction"],
            math.nan if row["preference"] is None else row["preference"] - 1,
            len(row["output_1"]) - len(row["output_2"]),
        )
        for row in world.annotations(model)
    ]


@pytest.mark.parametrize("model", world.MODELS)
def test_the_rate_is_the_packages(model, benchmark):
    found = length_controlled(match(judgements(model), benchmark), benchmark)
    assert 100 * found.rate == pytest.approx(PACKAGE[model][0], abs=1e-6)
    assert 100 * found.standard_error == pytest.approx(PACKAGE[model][1], abs=1e-6)
    assert (found.instructions, found.fitted) == (80, 79)


def test_judgements_in_another_order_have_the_same_rate(benchmark):
    shuffled = judgements("longer")
    random.Random(5).shuffle(shuffled)
    found = length_controlled(match(shuffled, benchmark), benchmark)
    assert 100 * found.rate == pytest.approx(PACKAGE["longer"][0], abs=1e-12)


def test_missing_doubled_and_foreign_judgements_are_counted_and_change_no_others_difficulty(benchmark):
    given = judgements("longer")
    some = [Judgement("of another benchmark", 0.5, 3.0), *given[10:], given[30]._replace(preference=0.0)]
    matched = match(some, benchmark)
    assert (matched.given, matched.foreign, matched.doubled, matched.missing) == (72, 1, 1, 10)
    assert matched.given == len(matched.places) + matched.foreign + matched.doubled
    assert matched.places.tolist() == list(range(10, 80))
    assert matched.failed == 0
    # As if the ten had never been in the file, and the judgement of given[30] that came first counts.
    alone = length_controlled(match(given[10:], benchmark), benchmark)
    assert length_controlled(matched, benchmark) == alone


def test_an_instruction_that_the_benchmark_has_twice_takes_two_judgements():
    rows = [*world.instructions(), {"instruction": "question 3"}]
    gamed = [*world.gamed(), {**world.gamed()[0], "index": 80}]
    found = match([*judgements("weak"), Judgement("question 3", 1.0, 0.0)], read_benchmark(rows, gamed))
    assert (found.doubled, found.missing, found.places.tolist()[-1]) == (0, 0, 80)
    assert found.preference[-1] == 1.0


def test_the_interval_holds_the_rate_and_is_wider_than_that_of_the_predictions(benchmark):
    matched = match(judgements("longer"), benchmark)
    found, (low, high) = length_controlled(matched, benchmark), over_instructions(matched, benchmark)
    assert low < found.rate < high
    assert (high - low) / 2 > 1.96 * found.standard_error


def test_too_few_judgements_equal_lengths_and_unknown_difficulties_are_said(benchmark):
    given = judgements("weak")
    with pytest.raises(SourceError, match=r"^9 judgements with a preference, and the regression needs 10$"):
        length_controlled(
            match([one._replace(preference=np.nan) for one in given[9:]] + given[:9], benchmark), benchmark
        )
    with pytest.raises(SourceError, match="no length can be controlled for"):
        length_controlled(match([one._replace(longer=4.0) for one in given], benchmark), benchmark)
    known = read_benchmark(world.instructions(), [row for row in world.gamed() if row["index"] > 1])
    with pytest.raises(SourceError, match="no difficulty for 2 of 80 judged instructions"):
        length_controlled(match(given, known), known)
    few = match(given[:11], benchmark)  # ten with a preference: without any of them there are nine
    assert length_controlled(few, benchmark).fitted == 10
    assert over_instructions(few, benchmark) is None


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"index": 80}, "row 0 of the gamed baselines: index is 80 and there are 80 instructions"),
        ({"index": 1.5}, "index is 1.5"),
        ({"preference": ""}, "row 0 of the gamed baselines: expected a number `preference` \\(found ''\\)"),
        ({"std_delta_len": None}, "expected a number `std_delta_len` \\(found None\\)"),
        ({"instruction_difficulty": "nan"}, "expected a number `instruction_difficulty` \\(found 'nan'\\)"),
    ],
)
def test_a_row_of_the_gamed_baselines_that_is_none_is_named(changes, said):
    with pytest.raises(SourceError, match=said):
        read_benchmark(world.instructions(), [{**world.gamed()[0], **changes}])


def test_other_files_are_no_benchmark():
    with pytest.raises(SourceError, match="row 0 of the benchmark's instructions: expected a text `instruction`"):
        read_benchmark([{"prompt": "x"}], world.gamed())
    with pytest.raises(SourceError, match=r"expected df_gamed\.csv"):
        read_benchmark(world.instructions(), [])
