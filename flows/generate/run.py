"""One generation: its work folder, accounts and the record of what happened to every prompt and response."""

from array import array
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from flows.generate.plan import GenerationPlan
from flows.generate.sources import PromptReading
from transforms.records.generation import Ended
from transforms.records.manifest import SpendRecord
from transforms.tables.parts import Parts

Floats = npt.NDArray[np.float64]


@dataclass
class Judged:
    """What an annotator said of the run's responses, in their order.

    Attributes:
        scores: by part; NaN where there is none.
        objectives: by part, (responses, objectives).
        unscored: why a response has no score → responses.
        why: response → why it has no score.
        first: response that was shown first, of each readable comparison of a pairwise annotator.
        second: response that was shown second.
        margin: of the first.
        again: response → score of a second call, of those that were asked about twice.
        asked: questions.
        unreadable: of which have no answer.
    """

    scores: list[Floats] = field(default_factory=list)
    objectives: list[Floats] = field(default_factory=list)
    unscored: Counter[str] = field(default_factory=Counter)
    why: dict[int, str] = field(default_factory=dict)
    first: "array[int]" = field(default_factory=lambda: array("q"))
    second: "array[int]" = field(default_factory=lambda: array("q"))
    margin: "array[float]" = field(default_factory=lambda: array("d"))
    again: dict[int, float] = field(default_factory=dict)
    responses: int = 0
    asked: int = 0
    unreadable: int = 0


class GenerationRun(PromptReading):
    """The state that stages share. A plain class, so that Prefect hands it on without looking inside.

    Args:
        plan: the recipe with everything found.
        work: an empty folder on the disk of the output folder.

    Attributes:
        prompts: parts of schema.PROMPTS, sorted by id; they are drawn in this order.
        answers: parts of schema.ANSWERS, of the drawn prompts in the same order.
        judged: what each annotator said, in the order of the recipe.
    """

    def __init__(self, plan: GenerationPlan, work: Path) -> None:
        super().__init__(work, plan.config.prompts, plan.sources)
        self.plan, self.config = plan, plan.config
        self.prompts = Parts(work / "prompts")
        self.answers = Parts(work / "answers")
        self.drawn = 0
        self.ended: Ended = "all_prompts"
        self.judged = [Judged() for _ in plan.annotators]
        self.quarantined_responses = 0

    @property
    def spend(self) -> SpendRecord:
        """Of all policies together."""
        total = SpendRecord.nothing()
        for policy in self.plan.policies:
            total = total.plus(policy.spend)
        return total

    @property
    def responses_a_prompt(self) -> int:
        """Of all policies together."""
        return sum(one.config.n for one in self.plan.policies)
