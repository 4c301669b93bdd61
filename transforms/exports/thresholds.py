"""From which score on a response is desirable, and the weights that KTO asks for with so many of each kind."""

from typing import Final, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from transforms.errors import ConfigError

Method = Literal["otsu", "median", "given"]
METHODS: Final = ("otsu", "median")
# λ_D n_D / (λ_U n_U), KTO (arXiv 2402.01306), equation 8 of the first version. A later version widens it to 3/2, and
# TRL 1.16 warns outside of 4/3: what lies in here is right by all of them.
RATIO: Final = (1.0, 4 / 3)
# Of one normal heap that is parted at its mean: the classes' means are ±σ√(2/π).
ONE_HEAP: Final = 2 / np.pi
EVEN_SPREAD: Final = 3 / 4  # of a uniform distribution, likewise: means a quarter of its width from the middle

Floats = npt.NDArray[np.float64]


class Threshold(NamedTuple):
    """A response is desirable if its score is at least `value`.

    Attributes:
        value: in the scores' own unit.
        method: how it was found.
        separation: the classes' between-class variance as a share of the whole variance, 0 to 1.
    """

    value: float
    method: Method
    separation: float


class Weights(NamedTuple):
    """TRL's `desirable_weight` and `undesirable_weight`, one of which is 1.

    Attributes:
        desirable, undesirable: to set.
        desirable_range: what λ_D may be while λ_U is 1.
        undesirable_range: what λ_U may be while λ_D is 1.
    """

    desirable: float
    undesirable: float
    desirable_range: tuple[float, float]
    undesirable_range: tuple[float, float]


def find_threshold(scores: Floats, how: str | float) -> Threshold:
    """The threshold of these responses.

    Args:
        scores: of all responses, finite.
        how: `otsu`, `median`, or the threshold itself.

    Raises:
        ConfigError: no scores, scores that are all equal, or a threshold that leaves one side empty.
    """
    if not len(scores):
        message = "no response has a score, so there is no threshold"
        raise ConfigError(message)
    method: Method
    if isinstance(how, float):
        value, method = how, "given"
    elif scores.min() == scores.max():
        message = (
            f"all {len(scores):,} responses have the score {scores[0]:g}, so no threshold parts them; "
            "take the other --score where there is one, or leave kto out of --to"
        )
        raise ConfigError(message)
    else:
        value, method = (otsu(scores), "otsu") if how == "otsu" else (float(np.median(scores)), "median")
    good = scores >= value
    if good.all() or not good.any():
        message = (
            f"with the threshold {value:g} {'every' if good.all() else 'no'} response is desirable (scores lie between "
            f"{scores.min():g} and {scores.max():g}), and KTO needs both kinds; give another --threshold"
        )
        raise ConfigError(message)
    return Threshold(value, method, _between(scores, good) / float(np.var(scores)))


def otsu(scores: Floats) -> float:
    """The threshold whose two classes have the greatest between-class variance w₀w₁(μ₁−μ₀)², exact.

    Otsu (1979, IEEE Trans. SMC 9(1), eq. 14 and 18), on the scores themselves and no histogram; it is the optimum of
    2-means in one dimension. Another unit or origin of the scores gives the same classes. Midway between the two scores
    that it parts; of equal optima the lowest.

    Args:
        scores: two different ones at least.
    """
    values, counts = np.unique(scores, return_counts=True)
    centred = values - np.average(values, weights=counts)  # or the difference of large means is lost in rounding
    below = np.cumsum(counts)[:-1] / counts.sum()
    first_moment = np.cumsum(centred * counts)[:-1] / counts.sum()
    # With a mean of 0: w₀w₁(μ₁−μ₀)² = m²/(w₀w₁), m the first moment of the lower class.
    at = int(np.argmax(first_moment**2 / (below * (1 - below))))
    middle = float(values[at] + (values[at + 1] - values[at]) / 2)
    return middle if middle > values[at] else float(values[at + 1])  # neighbours among the floats


def weights(desirable: int, undesirable: int) -> Weights:
    """What the paper then asks for, RATIO = λ_D n_D / (λ_U n_U), by a greater weight of the kind with fewer responses.

    Args:
        desirable: n_D, at least one.
        undesirable: n_U, likewise.
    """
    ratio = desirable / undesirable
    low, high = RATIO
    ranges = ((low / ratio, high / ratio), (ratio / high, ratio / low))
    middle = (low + high) / 2  # TRL compares with bounds that it rounds to two digits
    if low <= ratio <= high:
        return Weights(1.0, 1.0, *ranges)
    return Weights(middle / ratio, 1.0, *ranges) if ratio < low else Weights(1.0, ratio / middle, *ranges)


def _between(scores: Floats, good: npt.NDArray[np.bool_]) -> float:
    share = float(np.mean(good))
    return share * (1 - share) * float(np.mean(scores[good]) - np.mean(scores[~good])) ** 2
