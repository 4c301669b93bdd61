"""The objectives, one pure function each: losses per pair or per response, not reduced.

Importing this package fills `OBJECTIVES`.

responses        what an objective reads of a batch; notation as in the papers
registry         what each needs, what can be set, how one is added
numerics         two functions of a mean log-prob that overflow as written
referenced       pairwise, against a frozen reference
lengthwise       pairwise, of mean log-probs: SimPO, AlphaPO
with_likelihood  pairwise, that raise the chosen likelihood
by_response      of single responses and their rewards
published        settings that papers report
bradley_terry    the reward model's
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
