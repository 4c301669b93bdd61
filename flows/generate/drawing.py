"""How many prompts are drawn: all of them, or waves until enough pairs are made or the budget ends."""

from math import ceil
from typing import Final

from flows.generate.pairing import Paired
from flows.generate.run import GenerationRun
from transforms.records.generation import Ended

ALL_PROMPTS: Final[Ended] = "all_prompts"
LEAST_YIELD: Final = 0.05  # pairs a prompt that the next wave is made for at least
MORE: Final = 1.1  # than the last waves' yield asks for: a wave too many costs a loading of all models


def next_wave(run: GenerationRun, paired: Paired | None) -> int:
    """Prompts to answer next, 0 for no more; the run then knows why it ended.

    What a wave holds follows from the recipe and what was answered before, and from no clock: a run that is killed and
    goes on draws the same ones.

    Args:
        run: the run so far.
        paired: its pairs so far, None before the first wave.
    """
    config = run.config
    limit, ended = run.prompted.prompts, ALL_PROMPTS
    bounds: tuple[tuple[int | None, Ended], ...] = (
        (config.max_prompts, "max_prompts"),
        (_affordable(run), "budget"),
    )
    for most, why in bounds:
        if most is not None and most < limit:
            limit, ended = most, why
    if config.accept is not None and paired is not None and len(paired.pairs.chosen) >= config.accept:
        run.ended = "accepted"
        return 0
    left = limit - run.drawn
    if left <= 0:
        run.ended = ended
        return 0
    if config.accept is None:
        return left
    made = 0 if paired is None else len(paired.pairs.chosen)
    yielded = max(made / run.drawn, LEAST_YIELD) if run.drawn else 1.0
    return min(left, ceil(MORE * (config.accept - made) / yielded))


def _affordable(run: GenerationRun) -> int | None:
    """Prompts that the budget pays for."""
    budget, policies = run.config.budget, run.plan.policies
    tokens = sum(one.config.n * one.config.max_new_tokens for one in policies)
    found = [
        most // each
        for most, each in ((budget.completions, run.responses_a_prompt), (budget.tokens, tokens))
        if most is not None
    ]
    return min(found) if found else None
