"""What a trained model, policy or reward model, says of every held-out pair; kept, so that no model is asked twice."""

import json
import time
from contextlib import closing
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from flows.compare.held_out import HeldOut
from flows.compare.plan import ComparisonPlan
from flows.evaluate.config import RewardUnderTest
from flows.evaluate.data import tokenise
from flows.evaluate.reward import reward_margins
from flows.models.engine_calls import Pay
from flows.models.log_probs import LogProbReader, find_causal
from flows.models.recipe_models import resolve_reward
from flows.models.scoring import Scorer
from flows.runtime.progress import Progress
from flows.train.reference_log_probs import reference_log_probs
from flows.versions.output_folder import write_text
from trainers.reading.references import References
from transforms.audit.curves import ratio_cuts
from transforms.chat.tokens import ChatTokens
from transforms.engines.tokenizer import load_tokenizer
from transforms.errors import ModelError
from transforms.evaluation.standings import PairScores
from transforms.records.comparison import Judge
from transforms.records.manifest import SpendRecord


class JudgedModel(BaseModel):
    """judged/KEY.json: (pairs,) lists in the order of `pairs`."""

    model_config = ConfigDict(extra="forbid")

    training: str  # fingerprint
    measure: str  # of a policy
    judge: Judge
    seconds: float
    pairs: list[str]  # pair_id
    margins: list[float | None]  # null: the model could not read the pair
    chosen: list[float] | None
    rejected: list[float] | None

    @property
    def scores(self) -> PairScores:
        """As arrays."""
        sides = [None if side is None else np.array(side, np.float64) for side in (self.chosen, self.rejected)]
        return PairScores(np.array(self.margins, np.float64), *sides)


class Judging:
    """Judges one model after the other, each gone from memory before the next one comes.

    Args:
        plan: of the comparison.
        held: the pairs.
        pay: calls a batch of expensive work by a name, and again if its engine fails.
        progress: shows what is done.
    """

    def __init__(self, plan: ComparisonPlan, held: HeldOut, pay: Pay, progress: Progress) -> None:
        self._plan, self._held, self._pay, self._progress = plan, held, pay, progress
        self._references: References | None = None

    def known(self, path: Path, training: str) -> JudgedModel | None:
        """What was said before of these pairs by the model of a training, given by its fingerprint."""
        try:
            found = JudgedModel.model_validate_json(path.read_bytes())
        except (FileNotFoundError, ValidationError):
            return None
        same = (found.training, found.measure, found.pairs) == (training, self._measure, self._held.names)
        return found if same else None

    def judge(self, path: Path, training: str, model: Path) -> JudgedModel:
        """Ask the model in the folder `model`, and write what it says to `path`.

        Raises:
            ModelError: it cannot be loaded, or can read no pair.
            EngineError: it failed, whatever was tried.
        """
        start = time.monotonic()
        kind = judge_of(model)
        scores = self._policy(model) if kind == "policy" else self._reward(model)
        if not np.isfinite(scores.margins).any():
            message = f"the trained model {model} gave no finite score for any held-out pair"
            raise ModelError(message)
        found = JudgedModel(
            training=training,
            measure=self._measure,
            judge=kind,
            seconds=round(time.monotonic() - start, 3),
            pairs=self._held.names,
            margins=[float(value) if np.isfinite(value) else None for value in scores.margins],
            chosen=None if scores.chosen is None else scores.chosen.tolist(),
            rejected=None if scores.rejected is None else scores.rejected.tolist(),
        )
        write_text(path, found.model_dump_json() + "\n")
        return found

    @property
    def _measure(self) -> str:
        return self._plan.config.measure

    def _policy(self, model: Path) -> PairScores:
        """β = 1: margins are in nats, of the response or of a token."""
        memory, held = self._plan.base.memory, self._held
        reader = LogProbReader(
            find_causal(model, dtype=memory.dtype),
            "trained policy",
            ledger_root=self._plan.shared.ledger,
            spend=SpendRecord.nothing(),
            batch_tokens=memory.batch_tokens,
        )
        before = np.array(self._reference().responses)  # (pairs, sides)
        with closing(reader.calls):
            read = reader.read_whole(held.examples, pay=self._pay, progress=self._progress)
        after = np.array([[tokens.sum(dtype=np.float64) for tokens in pair] for pair in read])
        if bad := np.flatnonzero(~np.isfinite(after).all(axis=1)).tolist():
            names = ", ".join(held.names[row] for row in bad[:5])
            message = f"the trained policy gave log-probs that are not finite for {len(bad)} held-out pairs: {names}"
            raise ModelError(message)
        gains = after - before
        each = gains / np.array([[len(tokens) for tokens in pair] for pair in read])
        reward = gains if self._measure == "log_ratio" else each
        return PairScores(reward[:, 0] - reward[:, 1], each[:, 0], each[:, 1])

    def _reference(self) -> References:
        """Of the held-out pairs by the model that training started from; from the ledger but for the first time."""
        if self._references is None:
            start, memory = self._plan.base.model, self._plan.base.memory
            self._references = reference_log_probs(
                self._held.examples,
                self._held.whole,
                find_causal(start.model, start.revision, dtype=memory.dtype),
                ledger=self._plan.shared.ledger,
                pay=self._pay,
                progress=self._progress,
                batch_tokens=memory.batch_tokens,
            ).log_probs
        return self._references

    def _reward(self, model: Path) -> PairScores:
        memory = self._plan.base.memory
        config = RewardUnderTest(
            model=str(model.resolve()),
            engine="transformers",
            dtype=memory.dtype,
            max_tokens_per_batch=memory.batch_tokens,
            ratios=[],
        )
        resolved = resolve_reward(config)
        chat = ChatTokens(load_tokenizer(resolved.location, resolved.revision))
        tokenised = tokenise(self._held.labelled, chat, None)
        scorer = Scorer(resolved, config, ledger_root=self._plan.shared.ledger, spend=SpendRecord.nothing())
        with closing(scorer.calls):
            cuts = ratio_cuts(tokenised.pairs, [1.0])
            found = reward_margins(scorer, tokenised.pairs, cuts, chat, pay=self._pay, progress=self._progress)
        margins = np.full(len(self._held.examples), np.nan)
        margins[tokenised.rows] = found.margins[0]
        return PairScores(margins, None, None)


def judge_of(model: Path) -> Judge:
    """Whether the model in a folder is a reward model (a sequence classifier) or a policy.

    Raises:
        ModelError: its config.json cannot be read.
    """
    try:
        names = json.loads((model / "config.json").read_text(encoding="utf-8")).get("architectures") or []
    except (OSError, ValueError) as error:
        message = f"the trained model {model} has no config.json that could be read: {error}"
        raise ModelError(message) from error
    return "reward" if any(str(name).endswith("ForSequenceClassification") for name in names) else "policy"
