"""The objectives, one pure function each: losses per pair or per response, not reduced.

Importing this package fills `OBJECTIVES`.
"""

from trainers.objectives import by_response, lengthwise, referenced, with_likelihood
from trainers.objectives.registry import OBJECTIVES, BoundObjective, Objective, objective, pairwise, pointwise
from trainers.objectives.responses import Responses

__all__ = [
    "OBJECTIVES",
    "BoundObjective",
    "Objective",
    "Responses",
    "by_response",
    "lengthwise",
    "objective",
    "pairwise",
    "pointwise",
    "referenced",
    "with_likelihood",
]
