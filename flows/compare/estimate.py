"""What a comparison will cost: trainings, tokens, time and disk, by those that are finished or by a short trial."""

import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

import torch

from flows.compare.held_out import HeldOut
from flows.compare.output import JUDGED, TRAININGS, answers_path
from flows.compare.plan import ComparisonPlan
from flows.compare.schedule import Planned, Schedule
from flows.compare.scores import JudgedModel
from flows.train.output import read_record
from trainers.batches.logprobs import log_probs
from trainers.batches.tensors import PADDED
from trainers.reading.examples import Example
from trainers.steps.trained_model import trainable
from transforms.engines.causal_model import load_causal
from transforms.text import duration

TRIED: Final = 4  # pairs of the trial at least, from short to long; the first goes once more before, to warm up
logger = logging.getLogger(__name__)


class Speed(NamedTuple):
    """Seconds that work takes on this machine."""

    a_token: float  # of training
    a_judgement: float  # of one model, the time to load and save it included
    a_reading: float  # of a token by the reference; 0 where it has read all of them
    source: str  # in words


class Estimate(NamedTuple):
    """The bill."""

    trainings: int
    finished: int
    tokens: int  # that the trainings which are left will see
    judged_tokens: int  # that each trained model reads
    seconds: float  # of what is left
    source: str  # of the seconds, in words
    disk: int | None  # bytes of weights that are left to write; None where none stay, or their size is not known


def estimate(plan: ComparisonPlan, planned: Schedule, held: HeldOut, speed: Speed) -> Estimate:
    """What is left to do, at that speed."""
    left = [one for one in planned.trainings if _seconds(plan, one) is None]
    weights = _weights(Path(plan.shared.model.location)) if plan.config.output.models else None
    # Every variant's references are sums over those of whole responses.
    whole = max(variant.tokens or 0 for variant in planned.variants) if plan.shared.reference else 0
    return Estimate(
        trainings=len(planned.trainings),
        finished=len(planned.trainings) - len(left),
        tokens=sum(one.tokens for one in left),
        judged_tokens=_tokens(held.examples),
        seconds=seconds_left(plan, left, speed) + whole * speed.a_reading,
        source=speed.source,
        disk=None if weights is None else weights * len(left),
    )


def seconds_left(plan: ComparisonPlan, trainings: Sequence[Planned], speed: Speed) -> float:
    """Of those of `trainings` that are not finished."""
    left = [one for one in trainings if _seconds(plan, one) is None]
    return sum(one.tokens for one in left) * speed.a_token + len(left) * speed.a_judgement


def known_speed(plan: ComparisonPlan, trainings: Sequence[Planned]) -> Speed | None:
    """From trainings of this comparison that are finished; None where there are none. Loading counts as training."""
    # The first of them pays for all reference log-probs, which is no sign of how long others will take.
    timed = [(one, seconds) for one in trainings if (seconds := _seconds(plan, one)) is not None]
    if not timed:
        return None
    trained = sum(seconds[0] for _, seconds in timed) / sum(one.tokens for one, _ in timed)
    judged = sum(seconds[1] for _, seconds in timed) / len(timed)
    return Speed(trained, judged, 0.0, f"as {len(timed)} finished ones took")


def tried_speed(plan: ComparisonPlan, held: HeldOut) -> Speed:
    """Load the model, send a few held-out pairs forward and back, and forget it.

    Raises:
        ModelError: it cannot be loaded.
    """
    logger.info("measuring %s on %d pairs", plan.shared.model.identity.name, TRIED)
    recipe, device = plan.base, "cuda" if torch.cuda.is_available() else "cpu"
    some = sorted(held.examples, key=lambda example: example.kept_tokens)[:: max(1, len(held.examples) // TRIED)]
    start = time.monotonic()
    loaded = load_causal(plan.shared.model, trust_remote_code=False)
    model = trainable(loaded, adapter=recipe.lora, seed=0).to(device)
    load = time.monotonic() - start
    times = {True: 0.0, False: 0.0}
    for number, example in enumerate([some[0], *some]):
        for backward in times:
            start = time.monotonic()
            with torch.autocast(device, torch.bfloat16, enabled=recipe.memory.dtype == "bfloat16"):
                _read(model, example, backward=backward)
            times[backward] += (time.monotonic() - start) if number else 0.0
    a_token, a_reading = (times[backward] / _tokens(some) for backward in (True, False))
    # Loaded to be trained, and again to be judged.
    a_judgement = 2 * load + a_reading * _tokens(held.examples)
    return Speed(a_token, a_judgement, a_reading, f"measured on {len(some)} pairs, one at a time")


def in_words(found: Estimate) -> list[str]:
    """The bill, a line each."""
    left = found.trainings - found.finished
    lines = [
        f"{found.trainings:,} trainings, {found.finished:,} of them finished; {found.tokens:,} tokens to train on, "
        f"{found.judged_tokens:,} held-out tokens to judge each of {left:,} models by"
    ]
    if left:
        lines.append(f"about {duration(found.seconds)} on this machine ({found.source})".replace("\u00a0", " "))
    if found.disk:
        lines.append(f"about {found.disk / 1e9:.1f} GB of weights to keep; --output.models false keeps none")
    return lines


def answers_in_words(plan: ComparisonPlan, planned: Schedule, held: HeldOut) -> list[str]:
    """What models will write, which is in no estimate: how long it takes depends on what they say."""
    config = plan.config.answers
    if config is None:
        return []
    how, models = config.answering("model"), len(planned.trainings)
    prompts = "the prompts of answers.prompts" if config.prompts else f"{len(set(held.prompts)):,} held-out prompts"
    most = f"{config.max_prompts:,} of " if config.max_prompts else ""
    return [
        f"{models:,} trained models and the one they start from answer {most}{prompts} too, {how.n:,} times each with "
        f"up to {how.max_new_tokens:,} tokens; that comes on top"
    ]


def _read(model: torch.nn.Module, example: Example, *, backward: bool) -> None:
    batch = PADDED.batch([example]).to(next(model.parameters()).device)
    with torch.set_grad_enabled(backward):
        found = log_probs(model, batch).responses.sum()
    if backward:
        found.backward()
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def _seconds(plan: ComparisonPlan, one: Planned) -> tuple[float, float] | None:
    """Of training and of judging; None where either is not finished."""
    record = read_record(plan.folder / TRAININGS / one.key)
    judged = plan.folder / JUDGED / f"{one.key}.json"
    written = answers_path(plan.folder, one.key)
    if record is None or not judged.is_file() or (plan.config.answers and not written.is_file()):
        return None
    seconds = sum(spent for stage, spent in record.seconds.items() if stage != "reference log-probs")
    return seconds, JudgedModel.model_validate_json(judged.read_bytes()).seconds


def _tokens(examples: Sequence[Example]) -> int:
    return sum(len(example.prompt) + example.kept_tokens for example in examples)


def _weights(folder: Path) -> int | None:
    """Bytes; None for a model of the Hub."""
    return sum(file.stat().st_size for file in folder.glob("*.safetensors")) or None
