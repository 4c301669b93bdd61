"""Rewards by any sequence-classification model of transformers, and by a few beside it: the raw head, no sigmoid."""

import inspect
import logging
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
import torch

from transforms.engines.batches import longest_first, right_padded
from transforms.engines.checks import check_scores
from transforms.engines.common_beginnings import Group, Nest, groups_of, nests_of
from transforms.engines.decoder_heads import HEADS, headed_decoder
from transforms.engines.models import ResolvedModel
from transforms.engines.protocol import ModelIdentity, Progress, ScoreRequest, no_progress
from transforms.engines.reward_checks import refuse_incomplete, reward_config
from transforms.engines.shared_prefixes import batches_of, read_shared
from transforms.errors import EngineError, ModelError

logger = logging.getLogger(__name__)
_TRIED: Final = 8  # rows
# How far rewards may be from those that conversations get by themselves, over their size and beside three times what
# padding alone moves them by.
_SAME: Final = {"float32": 1e-5, "bfloat16": 0.02, "float16": 2e-3}


# What a model raises that cannot be read in another way than alone; EngineError is what a forward pass becomes.
_CANNOT: Final = (RuntimeError, ValueError, IndexError, TypeError, AttributeError, EngineError)


class TransformersRewards:
    """Scores in forward passes of like length, right-padded, each row pooled at its own last token.

    Conversations that begin alike are read once up to where they part, and one that is the beginning of another not at
    all, where the model can do that: it is tried on the first ones, and a model that answers otherwise then reads each
    conversation by itself.
    """

    def __init__(
        self,
        model: ResolvedModel,
        *,
        trust_remote_code: bool = False,
        max_tokens_per_batch: int = 8192,
        share_prefixes: bool = True,
    ) -> None:
        """Load the model, on a GPU if there is one.

        Args:
            model: what `resolve_model` found.
            trust_remote_code: run Python code that comes with the model.
            max_tokens_per_batch: padded tokens in one forward pass; a longer conversation goes alone.
            share_prefixes: False reads each conversation by itself.

        Raises:
            ModelError: the checkpoint has no complete reward head, several outputs, or is of another class.
        """
        self.identity: ModelIdentity = model.identity
        config = reward_config(model, trust_remote_code=trust_remote_code)
        self._model = _load(model, config, trust_remote_code=trust_remote_code)
        self._budget = max_tokens_per_batch
        text = config.get_text_config()
        self._vocab: int = text.vocab_size
        self._context: int = getattr(text, "max_position_embeddings", None) or 1 << 30
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._model.to(self._device).eval()
        share_prefixes = share_prefixes and _places_are_fixed(text)
        self._shares: bool | None = None if share_prefixes and _may_share(self._model, text) else False
        self._nests: bool | None = None if share_prefixes and _has_values(self._model) else False

    def score(self, requests: Sequence[ScoreRequest], progress: Progress = no_progress) -> list[float]:
        """Rewards in the order of `requests`; see RewardEngine."""
        if self._model is None:
            message = "this reward engine is closed: open another one"
            raise EngineError(message)
        check_scores(requests, vocab=self._vocab, context=self._context)
        rewards = [float("nan")] * len(requests)
        ids = [request.token_ids for request in requests]

        def keep(rows: Sequence[int], found: Sequence[float]) -> None:
            for row, reward in zip(rows, found, strict=True):
                rewards[row] = reward
            progress(len(rows), sum(len(ids[row]) for row in rows))

        nests, rest = nests_of(ids) if self._nests is not False else ([], list(range(len(ids))))
        for places in longest_first([len(ids[nest.host]) for nest in nests], self._budget):
            of_hosts = [nests[place] for place in places]
            rows = [row for nest in of_hosts for row in (nest.host, *nest.inner)]
            values = self._within(of_hosts, ids)
            if values is None:
                rest += rows
            else:
                keep(rows, values)
        groups, apart = groups_of([ids[row] for row in rest]) if self._shares is not False else ([], range(len(rest)))
        groups = [Group(tuple(rest[place] for place in group.rows), group.common) for group in groups]
        alone = [rest[place] for place in apart]
        for batch in batches_of(groups, ids, self._budget):
            rows = [row for group in batch for row in group.rows]
            together = self._together(batch, ids)
            if together is None:
                alone += rows
            else:
                keep(rows, together)
        for places in longest_first([len(ids[row]) for row in alone], self._budget):
            rows = [alone[place] for place in places]
            keep(rows, self._forward([ids[row] for row in rows]))
        return rewards

    def close(self) -> None:
        """Free the model."""
        self._model = None
        if self._device.type == "cuda":
            torch.cuda.empty_cache()

    def _together(self, batch: Sequence[Group], ids: Sequence[Sequence[int]]) -> list[float] | None:
        """One number a row of the groups, or None where this model does not read them so."""

        def works() -> bool:
            least = min(batch, key=lambda group: max(len(ids[row]) for row in group.rows))
            few = Group(least.rows[: self._few([ids[row] for row in least.rows])], least.common)
            return self._as_alone([ids[row] for row in few.rows], self._read_together([few], ids))

        self._shares, found = self._attempt(self._shares, works, lambda: self._read_together(batch, ids))
        return found

    def _within(self, nests: Sequence[Nest], ids: Sequence[Sequence[int]]) -> list[float] | None:
        """One number a row, each host before what is in it; None where this model does not read them so."""

        def works() -> bool:
            least = min(nests, key=lambda nest: len(ids[nest.host]))
            few = Nest(least.host, least.inner[: self._few([ids[row] for row in least.inner])])
            # The host is read as ever: what is in it must be right.
            return self._as_alone([ids[row] for row in few.inner], self._read_within([few], ids)[1:])

        self._nests, found = self._attempt(self._nests, works, lambda: self._read_within(nests, ids))
        return found

    def _attempt(
        self, known: bool | None, works: Callable[[], bool], read: Callable[[], list[float]]
    ) -> tuple[bool | None, list[float] | None]:
        """Read in a way that is tried first; whether the model can do it, and what came out where it can."""
        if known is False:
            return False, None
        try:
            known = works() if known is None else known
            return known, read() if known else None
        except torch.OutOfMemoryError:  # of this batch; the next may be smaller
            return known, None
        except _CANNOT as error:
            logger.info("%s reads each conversation by itself: %s", self.identity.name, error)
            return False, None

    def _few(self, rows: Sequence[Sequence[int]]) -> int:
        """How many of some rows are tried: with the longer one that pads them they stay within the budget."""
        longest = max(map(len, rows))
        return max(1, min(_TRIED, self._budget // (longest + longest // 2) - 1))

    def _as_alone(self, rows: Sequence[Sequence[int]], found: Sequence[float]) -> bool:
        """Whether rows that were read another way have the rewards that each gets by itself.

        Up to rounding, which has to be measured: with a head over SmolLM2 in bfloat16 the same rows padded in one batch
        are up to 0.05 from what each gets alone, and so are they here.
        """
        alone = np.array([self._forward([row])[0] for row in rows])
        # Beside one that is longer, so that they are padded: equal lengths round alike, in a batch or alone.
        longest = max(rows, key=len)
        longer = [*longest, *longest[: len(longest) // 2]][: self._context]
        rounding = np.abs(np.array(self._forward([*rows, longer])[:-1]) - alone).max()
        apart = np.abs(np.array(found) - alone).max()
        same = bool(apart <= 3 * rounding + _SAME[self.identity.dtype] * max(1.0, np.abs(alone).mean()))
        if not same:
            logger.info(
                "%s reads each conversation by itself: together they are %.2g apart, %.2g by rounding",
                self.identity.name, apart, rounding,
            )  # fmt: skip
        return same

    def _read_within(self, nests: Sequence[Nest], ids: Sequence[Sequence[int]]) -> list[float]:
        """Hosts go through the model; the head reads their last token and where each row in them ends."""
        hosts = [ids[nest.host] for nest in nests]
        padded, mask = right_padded(hosts, self._pad(hosts))
        of_row = [number for number, nest in enumerate(nests) for _ in range(1 + len(nest.inner))]
        ends = [len(ids[row]) - 1 for nest in nests for row in (nest.host, *nest.inner)]
        with torch.inference_mode():
            states = self._model.base_model(
                input_ids=padded.to(self._device), attention_mask=mask.to(self._device)
            ).last_hidden_state
            found = self._model.score(states[of_row, ends])
        values: list[float] = found.reshape(len(ends)).double().tolist()
        return values

    def _read_together(self, batch: Sequence[Group], ids: Sequence[Sequence[int]]) -> list[float]:
        pad = self._pad([ids[row] for group in batch for row in group.rows])
        values: list[float] = read_shared(self._model, batch, ids, pad, self._device).reshape(-1).double().tolist()
        return values

    def _pad(self, rows: Sequence[Sequence[int]]) -> int:
        pad = _pad_id(rows)
        # transformers pools at the last token that is not config.pad_token_id. Where that is also the end of
        # turn (pad == eos), it pools one token too early: the same ids gave 34.02 there and 21.12 in vLLM.
        self._model.config.get_text_config().pad_token_id = self._model.config.pad_token_id = pad
        return pad

    def _forward(self, rows: list[Sequence[int]]) -> list[float]:
        """One number a row."""
        pad = self._pad(rows)
        ids, mask = right_padded(rows, pad)
        try:
            with torch.inference_mode():
                output = self._model(input_ids=ids.to(self._device), attention_mask=mask.to(self._device))
        except (RuntimeError, ValueError, IndexError) as error:
            message = f"the reward model {self.identity.name} failed: {type(error).__name__}: {error}"
            raise EngineError(message) from error
        logits = output.logits
        if tuple(logits.shape) not in {(len(rows), 1), (len(rows),)}:
            message = (
                f"the reward model {self.identity.name} gave an output of shape {tuple(logits.shape)} for"
                f" {len(rows)} rows, expected one number a row"
            )
            raise EngineError(message)
        values: list[float] = logits.reshape(-1).double().tolist()
        return values


def _load(model: ResolvedModel, config: Any, *, trust_remote_code: bool) -> Any:
    from transformers import AutoModelForSequenceClassification

    name, expected = model.identity.name, config.architectures[0]
    known = HEADS.get(expected)
    try:
        loaded, info = (headed_decoder(known) if known else AutoModelForSequenceClassification).from_pretrained(
            model.location,
            **({"config": config} if known else {}),
            revision=model.revision,
            dtype=getattr(torch, model.identity.dtype),
            trust_remote_code=trust_remote_code,
            use_safetensors=True,
            output_loading_info=True,
        )
    except Exception as error:  # safetensors' own error, of a file that is cut short, is none of Python's
        message = f"the reward model {name} cannot be loaded: {type(error).__name__}: {error}"
        raise ModelError(message) from error
    if not known and type(loaded).__name__ != expected:
        message = (
            f"the reward model {name} is a {expected}, but was loaded as {type(loaded).__name__}, which would"
            " score another way. If you trust the code that comes with it, set reward.trust_remote_code: true"
        )
        raise ModelError(message)
    refuse_incomplete(name, expected, info)
    return loaded


def _may_share(model: Any, text: Any) -> bool:
    """Whether the model is a causal one whose layers keep all keys and values, as far as its class and settings say."""
    if type(model).__name__ in HEADS or getattr(text, "sliding_window", None) is not None:
        return False
    return _keeps_what_it_read(model)


def _places_are_fixed(text: Any) -> bool:
    """Whether a token's state depends on what stands before it alone.

    Some rotary embeddings (longrope, dynamic) change with the longest row of a forward pass, so a short conversation
    is read otherwise within a long one.
    """
    rope = getattr(text, "rope_parameters", None) or getattr(text, "rope_scaling", None) or {}
    return not any(kind in str(rope) for kind in ("longrope", "dynamic"))


def _has_values(model: Any) -> bool:
    """Whether it is a causal model with a head that reads any token's state, as far as its class says."""
    return _keeps_what_it_read(model) and isinstance(getattr(model, "score", None), torch.nn.Module)


def _keeps_what_it_read(model: Any) -> bool:
    """Whether it takes keys and values of earlier tokens, as causal models do."""
    return "past_key_values" in inspect.signature(model.forward).parameters


def _pad_id(rows: Sequence[Sequence[int]]) -> int:
    """The smallest id that no row ends in."""
    last = {int(row[-1]) for row in rows}
    return next(token for token in range(len(last) + 1) if token not in last)
