"""AlpacaEval 2's length-controlled win rate (arXiv 2404.04475), from judgements that go by instruction.

The chance that a model's output wins is σ(θ + φ tanh(Δ / sd Δ) + ψ γ), with Δ the characters of the baseline's output
less the model's, and γ the instruction's difficulty, which the authors fitted on their leaderboard (eq. 1). The rate is
the mean over instructions of the same at Δ = 0 (eq. 2). Two outputs of the baseline that were made long and short on
purpose ("gamed") are fitted along, with a small weight, so that a model cannot change φ by its own lengths.

Equal to `alpaca_eval` 0.6.6's `length_controlled_v1` on the same judgements in the benchmark's order, to the last
digits of its solver (benchmarks/alpaca_eval_rates.py). There γ is looked up by the row's number, so judgements that are
shuffled, or of which one is missing, give another rate (64.06 became 45.15). Here it goes by the instruction.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

import numpy as np

from transforms.errors import SourceError
from transforms.statistics.intervals import LEVEL, Bools, Floats, Ints

GAMED_WEIGHT: Final = 0.2  # of both gamed baselines together, for each judgement 1
FOLDS: Final = 5
GROUPS: Final = 20  # of instructions, for an interval
_COLUMNS: Final = ("index", "preference", "std_delta_len", "instruction_difficulty")
_SEED: Final = 123  # of liblinear's coordinate descent, which ends before the last digits are decided


class Judgement(NamedTuple):
    """A judge's word on two outputs to an instruction."""

    instruction: str
    preference: float  # [0, 1], the chance that the model's output is the better one; NaN where the judge failed
    longer: float  # characters of the baseline's output less the model's


@dataclass(frozen=True, slots=True)
class Benchmark:
    """The instructions in their order, with what the authors fitted beforehand.

    Attributes:
        places: instruction → its places in the benchmark's file, from 0; more than one where it is there twice.
        difficulty: of the instruction at each place, (I,), NaN where the file of gamed baselines has none.
        gamed: judgements of the gamed baselines as a design: tanh(Δ / sd Δ), difficulty, 0; (G, 3).
        gamed_preference: (G,), in [0, 1].
    """

    places: Mapping[str, tuple[int, ...]]
    difficulty: Floats
    gamed: Floats
    gamed_preference: Floats


@dataclass(frozen=True, slots=True)
class Matched:
    """Judgements in the benchmark's order. given = used + doubled + foreign; used counts those that failed too."""

    places: Ints  # (N,), ascending
    preference: Floats  # (N,), NaN where the judge failed
    longer: Floats  # (N,)
    given: int
    doubled: int  # of an instruction that was judged before
    foreign: int  # of an instruction that the benchmark does not have
    missing: int  # instructions without a judgement

    @property
    def failed(self) -> int:
        """Without a preference."""
        return int(np.isnan(self.preference).sum())


@dataclass(frozen=True, slots=True)
class LengthControlled:
    """The rate in [0, 1], and what it comes of."""

    rate: float
    standard_error: float  # of the mean of the predicted chances over instructions, which the fit's own is no part of
    length: float  # φ; below 0 where longer wins
    difficulty: float  # ψ
    model: float  # θ
    instructions: int  # that the rate is the mean of
    fitted: int  # of which with a preference


def read_benchmark(instructions: Iterable[Mapping[str, Any]], gamed: Iterable[Mapping[str, Any]]) -> Benchmark:
    """The benchmark from rows of its two files.

    Args:
        instructions: of `alpaca_eval.json` or the baseline's outputs, with `instruction`, in their order.
        gamed: of `df_gamed.csv`, with `index` (a place in the first file), `preference` in [0, 1], `std_delta_len`,
            `instruction_difficulty`.

    Raises:
        SourceError: a row without one of these, or of a place that is not there.
    """
    places: dict[str, tuple[int, ...]] = {}
    for at, row in enumerate(instructions):
        text = row.get("instruction")
        if not isinstance(text, str):
            message = f"row {at} of the benchmark's instructions: expected a text `instruction` (found {text!r:.80})"
            raise SourceError(message)
        places[text] = (*places.get(text, ()), at)
    count = sum(map(len, places.values()))
    difficulty = np.full(count, np.nan)
    design, preference = [], []
    for at, row in enumerate(gamed):
        values = [_number(row.get(name), name, at) for name in _COLUMNS]
        place = int(values[0])
        if place != values[0] or not 0 <= place < count:
            message = f"row {at} of the gamed baselines: index is {values[0]:g} and there are {count:,} instructions"
            raise SourceError(message)
        if np.isnan(difficulty[place]):
            difficulty[place] = values[3]
        design.append([np.tanh(values[2]), values[3], 0.0])
        preference.append(values[1])
    if not design:
        message = "the file of gamed baselines holds no row; expected df_gamed.csv of the dataset tatsu-lab/alpaca_eval"
        raise SourceError(message)
    return Benchmark(places, difficulty, np.array(design), np.array(preference))


def match(judgements: Sequence[Judgement], benchmark: Benchmark) -> Matched:
    """Put judgements in the benchmark's order, by their instructions.

    The first one of an instruction counts; where the benchmark has an instruction twice, the first two.
    """
    at, doubled, foreign = [], 0, 0
    seen: Counter[str] = Counter()
    for row, one in enumerate(judgements):
        places = benchmark.places.get(one.instruction)
        if places is None:
            foreign += 1
        elif seen[one.instruction] == len(places):
            doubled += 1
        else:
            at.append((places[seen[one.instruction]], row))
            seen[one.instruction] += 1
    at.sort()
    rows = [judgements[row] for _, row in at]
    return Matched(
        places=np.array([place for place, _ in at], np.int64),
        preference=np.array([one.preference for one in rows], np.float64),
        longer=np.array([one.longer for one in rows], np.float64),
        given=len(judgements),
        doubled=doubled,
        foreign=foreign,
        missing=len(benchmark.difficulty) - len(at),
    )


def length_controlled(matched: Matched, benchmark: Benchmark) -> LengthControlled:
    """Fit eq. 1 as the benchmark does and predict at equal length.

    An L1 penalty chosen among ten by five folds, by liblinear, with each judgement as a win and as a loss that weigh as
    its preference says. A judgement that failed is not fitted, and its instruction is predicted all the same; so are
    its lengths part of sd Δ.

    Raises:
        SourceError: fewer than ten judgements with a preference, lengths that do not differ, or instructions without a
            difficulty.
    """
    difficulty, fitted = benchmark.difficulty[matched.places], ~np.isnan(matched.preference)
    if fitted.sum() < 2 * FOLDS:
        message = f"{fitted.sum()} judgements with a preference, and the regression needs {2 * FOLDS}"
        raise SourceError(message)
    if unknown := int(np.isnan(difficulty).sum()):
        message = (
            f"the file of gamed baselines has no difficulty for {unknown} of {len(difficulty)} judged instructions; "
            "expected df_gamed.csv of the same instructions"
        )
        raise SourceError(message)
    spread = matched.longer.std(ddof=1)
    if not spread:
        message = "all outputs are as much longer than the baseline's: no length can be controlled for"
        raise SourceError(message)
    ones = np.ones(len(difficulty))
    design = np.column_stack([np.tanh(matched.longer / spread), difficulty, ones])
    rows = np.concatenate([benchmark.gamed, design[fitted]])
    wins = np.concatenate([benchmark.gamed_preference, matched.preference[fitted]])
    weight = np.concatenate([np.full(len(benchmark.gamed), GAMED_WEIGHT / 2), np.ones(int(fitted.sum()))])
    length, slope, model = _fit(rows, wins, weight)
    chances = 1 / (1 + np.exp(-(slope * difficulty + model)))
    return LengthControlled(
        rate=float(chances.mean()),
        standard_error=float(chances.std(ddof=1) / len(chances) ** 0.5),
        length=length,
        difficulty=slope,
        model=model,
        instructions=len(chances),
        fitted=int(fitted.sum()),
    )


def over_instructions(matched: Matched, benchmark: Benchmark) -> tuple[float, float] | None:
    """A 95 % interval of the rate over instructions, the fit included, which the benchmark's standard error leaves out.

    The delete-a-group jackknife of the rate's log-odds, with instructions in `GROUPS` groups by their places, Student's
    t and the gamed baselines always whole. None where a group cannot be left out.

    In simulations (200 instructions judged won or lost, rates of 0.26, 0.50 and 0.69, 100 rounds each) 95 to 96 % of
    the intervals hold the rate; 1.96 of the benchmark's standard errors hold it in 18 to 40 %.
    """
    from scipy import stats
    from scipy.special import expit, logit

    found = []
    for group in range(GROUPS):
        rows = np.flatnonzero(matched.places % GROUPS != group)
        some = replace(
            matched, places=matched.places[rows], preference=matched.preference[rows], longer=matched.longer[rows]
        )
        try:
            found.append(length_controlled(some, benchmark).rate)
        except SourceError:
            return None
    odds, whole = logit(np.array(found)), float(logit(length_controlled(matched, benchmark).rate))
    variance = float(np.square(odds - odds.mean()).sum()) * (GROUPS - 1) / GROUPS
    half = float(stats.t.ppf(0.5 + LEVEL / 2, GROUPS - 1)) * variance**0.5
    return float(expit(whole - half)), float(expit(whole + half))


def _fit(design: Floats, wins: Floats, weight: Floats) -> tuple[float, float, float]:
    """φ, ψ, θ."""
    import sklearn
    from sklearn.linear_model import LogisticRegressionCV
    from sklearn.metrics import make_scorer
    from sklearn.model_selection import GroupKFold

    chance, times = np.concatenate([wins, 1 - wins]), np.concatenate([weight, weight])
    won = np.repeat([1, 0], len(wins))
    with sklearn.config_context(enable_metadata_routing=True):
        scorer = make_scorer(_loss, response_method="predict_proba", greater_is_better=False)
        scorer = scorer.set_score_request(chance=True, weight=True)
        model = LogisticRegressionCV(
            cv=GroupKFold(n_splits=FOLDS),
            scoring=scorer,
            l1_ratios=(1.0,),
            solver="liblinear",
            fit_intercept=False,
            random_state=_SEED,
            use_legacy_attributes=False,
        ).set_fit_request(sample_weight=True)
        # A judgement's win and loss are never in different folds.
        groups = np.tile(np.arange(len(wins)), 2)
        twice = np.concatenate([design, design])
        model.fit(twice, won, sample_weight=chance * times, groups=groups, chance=chance, weight=times)
    length, slope, constant = (float(one) for one in model.coef_[0])
    return length, slope, constant


def _loss(won: Ints, predicted: Floats, *, chance: Floats, weight: Floats) -> float:
    """Cross-entropy of preferences in [0, 1], of the rows of a fold twice: as wins and as losses."""
    p = np.clip(predicted, 1e-15, 1 - 1e-15)
    wins: Bools = won == 1
    wanted = np.where(wins, chance, 1 - chance)
    return -float(np.mean((wanted * np.log(p) + (1 - wanted) * np.log(1 - p)) * weight))


def _number(value: Any, name: str, row: int) -> float:
    try:
        found = float(value)
    except (TypeError, ValueError):
        found = np.nan
    if not np.isfinite(found):
        message = f"row {row} of the gamed baselines: expected a number `{name}` (found {value!r:.80})"
        raise SourceError(message)
    return found
