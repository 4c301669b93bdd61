"""Every response to the prompts of a run, with rewards of the run's reward model; for objectives of single ones."""

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import date
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from flows.models.engine_calls import Pay
from flows.models.recipe_models import resolve_reward
from flows.models.scoring import Scorer
from flows.recipe.models import RewardConfig
from flows.replicas.crews import reward_crew
from flows.runtime.progress import Progress
from flows.train.config import Kept
from flows.train.pairs import FoundRun, check_room, has_responses
from trainers.reading.examples import Example
from transforms.chat.conversation import Asked, Turn, answer, answers_of, asked_of
from transforms.chat.encoding import encode_prompts, encode_responses
from transforms.chat.tokens import NOTHING_AROUND, ChatTokens, TurnTokens
from transforms.engines.models import ResolvedModel
from transforms.errors import ConfigError
from transforms.preparation.truncation import floor_share
from transforms.records.manifest import SpendRecord
from transforms.tables.ragged import Ids, Ragged
from transforms.tables.schema import PROMPT_DIGITS, SIDES

logger = logging.getLogger(__name__)


class RunReward(NamedTuple):
    """The reward model of a run, and the day that its chat template was told."""

    model: ResolvedModel
    config: RewardConfig
    today: date


class Prompted(NamedTuple):
    """A prompt of a run and its distinct responses."""

    name: str  # the prompt's first pair
    prompt: Ids
    asked: Asked
    answers: list[Turn]
    responses: list[Ids]  # whole, with an end-of-turn where they are finished


class Gathered(NamedTuple):
    """Prompts of a split in the order of its pairs, and how many responses could not be used, by reason."""

    prompts: list[Prompted]
    left_out: Counter[str]


class Rewarded(NamedTuple):
    """Gathered responses that have a reward, and how many are left out, by reason."""

    examples: list[Example]  # whole responses
    left_out: Counter[str]


class KeptExamples(NamedTuple):
    """Examples with the tokens that training reads."""

    examples: list[Example]
    cut_by_context: int  # responses that only the context limit cut


def find_reward(run: FoundRun, chat: ChatTokens) -> RunReward:
    """The reward model of a run that has all responses of its sources.

    Raises:
        ConfigError: it has no responses table, or no reward model.
        ModelError: the reward model is not there any more.
    """
    path = run.dataset.path
    if not has_responses(run):
        message = (
            f"{path} has no responses table: none of its sources has several responses a prompt (ultrafeedback, "
            "onpolicy and starter have). Train on a run of such a source, or on the pairs' responses "
            "(dataset.responses: pairs)"
        )
        raise ConfigError(message)
    recipe = run.version.recipe
    config = recipe.reward
    if config is None:
        message = f"{path} has no reward model, and dataset.responses: all needs its rewards: curate with reward.model"
        raise ConfigError(message)
    return RunReward(resolve_reward(config, lambda: chat), config, recipe.chat_template_date)


def gather(pairs: pa.Table, responses: pa.Table, chat: ChatTokens) -> Gathered:
    """All distinct responses to the prompts of `pairs`, those of the pairs among them.

    A response without text, or one whose text spells out a special token, is left out, as curating does.

    Args:
        pairs: schema.CURATED, a split.
        responses: schema.RESPONSES; rows of other prompts are ignored.
        chat: the tokenizer that made the ids of `pairs`.
    """
    names = pairs["pair_id"].to_pylist()
    prompts, asked = Ragged.from_arrow(pairs["prompt_ids"]), asked_of(pairs)
    found: dict[str, Prompted] = {}
    for row, name in enumerate(names):
        found.setdefault(name[:PROMPT_DIGITS], Prompted(name, prompts.row(row), asked[row], [], []))
    known: set[tuple[str, bytes]] = set()

    def add(prompt: str, turn: Turn, ids: Ids) -> None:
        if (prompt, ids.tobytes()) not in known:
            known.add((prompt, ids.tobytes()))
            found[prompt].answers.append(turn)
            found[prompt].responses.append(ids)

    ours = responses.filter(pc.is_in(responses["prompt_id"], pa.array(list(found), pa.string())))
    answers = [answer(text) for text in ours["response"].to_pylist()]
    keys = ours["prompt_id"].to_pylist()
    finished = np.array(ours["finished"].to_pylist(), bool)
    whole = encode_responses(
        chat, encode_prompts(chat, [found[key].asked for key in keys]), answers, finished, "sampled"
    )
    for row, prompt in enumerate(keys):
        if row not in whole.errors:
            add(prompt, answers[row], whole.ids.row(row))
    for side in SIDES:
        ids, turns = Ragged.from_arrow(pairs[f"{side}_ids"]), answers_of(pairs, side, f"{side}_full")
        for row, name in enumerate(names):
            add(name[:PROMPT_DIGITS], turns[row], ids.row(row))
    return Gathered(list(found.values()), Counter(map(_in_short, whole.errors.values())))


def _in_short(error: str) -> str:
    """The kind of an encoding error, for a count."""
    if "special token" in error:
        return "the text spells out a special token"
    return "no text" if "has no tokens" in error else "it does not follow its prompt token for token"


def reward_all(
    gathered: Mapping[str, Gathered],
    reward: RunReward,
    *,
    ledger: str,
    spend: SpendRecord,
    pay: Pay,
    progress: Progress,
) -> dict[str, Rewarded]:
    """Each response with its reward, from the ledger or by the reward model; one without a number is left out.

    Rewards are of whole responses as the reward model's chat template ends them, as in a curation run.

    Args:
        gathered: by split.
        reward: the reward model.
        ledger: folder or fsspec URL.
        spend: the account.
        pay: calls a batch of expensive work by a name, and again if its engine fails.
        progress: shows what is done.
    """
    crew = reward_crew(reward.model, reward.config, None)
    scorer = Scorer(reward.model, reward.config, ledger_root=ledger, spend=spend, today=reward.today, crew=crew)
    every = [prompt for part in gathered.values() for prompt in part.prompts]
    asked = scorer.of_answers(
        [one.asked for one in every for _ in one.answers], [turn for one in every for turn in one.answers]
    )
    with closing(scorer.calls):
        scorer.pay(asked, "score responses", pay=pay, progress=progress)
    rewards = iter(scorer.rewards(asked))
    for why in sorted({one for one in asked if isinstance(one, str)})[:1]:
        logger.warning("responses without a reward are left out, for one: %s", why)
    return {
        split: _rewarded(part, [[next(rewards) for _ in one.answers] for one in part.prompts])
        for split, part in gathered.items()
    }


def _rewarded(gathered: Gathered, rewards: Sequence[Sequence[float | str]]) -> Rewarded:
    examples, left_out = [], Counter(gathered.left_out)
    for one, found in zip(gathered.prompts, rewards, strict=True):
        good = [at for at, value in enumerate(found) if not isinstance(value, str) and np.isfinite(value)]
        left_out["no reward"] += len(found) - len(good)
        if good:
            values = tuple(float(found[at]) for at in good)
            examples.append(Example(one.name, one.prompt, tuple(one.responses[at] for at in good), values))
    return Rewarded(examples, +left_out)


def with_kept_responses(
    examples: Sequence[Example], kept: Kept, *, max_length: int, where: str, around: TurnTokens = NOTHING_AROUND
) -> KeptExamples:
    """Examples with the beginning of each response that `kept` means, none beyond `max_length` with its prompt.

    Args:
        examples: with whole responses.
        kept: `full`, or a share of each response.
        max_length: of prompt and response together.
        where: which examples these are, for messages.
        around: what the run's chat template writes around a text: a cut does not count it.

    Raises:
        SchemaError: a prompt leaves no room for a response; names the examples.
    """
    prompt_tokens = np.array([len(one.prompt) for one in examples for _ in one.responses])
    check_room([one.name for one in examples for _ in one.responses], prompt_tokens, max_length, where)
    lengths = np.array([len(response) for one in examples for response in one.responses])
    lead = around.lead(Ragged.of([response for one in examples for response in one.responses]))
    ratio = kept if isinstance(kept, float) else 1.0
    wanted = lead + np.maximum(1, floor_share(ratio, lengths - lead))
    keep = np.minimum(wanted, max_length - prompt_tokens)
    left = iter(keep.tolist())
    cut = [replace(one, responses=tuple(response[: next(left)] for response in one.responses)) for one in examples]
    return KeptExamples(cut, int((keep < wanted).sum()))
