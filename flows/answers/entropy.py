"""How sure models are of their own answers by position: the next token's entropy (POET, figure 2a)."""

from collections.abc import Mapping, Sequence

from flows.answers.reading import AskedAnswer
from flows.generate.voices import FoundPolicy
from flows.runtime.progress import Progress
from transforms.audit.curves import binned
from transforms.engines.protocol import PositionRequest
from transforms.engines.select import open_positions
from transforms.records.answers import EntropyCurve


def entropy_curves(
    answers: Mapping[str, Sequence[AskedAnswer]],
    policies: Mapping[str, FoundPolicy],
    *,
    of: int,
    progress: Progress,
) -> list[EntropyCurve]:
    """A curve a model, over its first answers by prompt id; read anew each time, one model in memory at a time.

    Args:
        answers: label → what the model wrote.
        policies: label → the model.
        of: answers of each model.
        progress: shows what is done.
    """
    curves = []
    for label, mine in answers.items():
        some = sorted(mine, key=lambda one: one.prompt_id)[:of]
        requests = [PositionRequest(str(row), one.prompt_ids, one.response_ids) for row, one in enumerate(some)]
        policy = policies[label]
        engine = open_positions(policy.model, trust_remote_code=policy.config.trust_remote_code)
        try:
            with progress.bar(f"read entropy ({label})", unit="responses", total=len(requests)) as advance:
                found = engine.positions(requests, advance)
        finally:
            engine.close()
        points = binned([one.entropy for one in found], [one.prompt_id for one in some])
        curves.append(EntropyCurve(label=label, responses=len(some), points=points))
    return curves
