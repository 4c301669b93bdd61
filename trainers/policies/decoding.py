"""Decoding that mixes a preference-trained policy with its reference, one token at a time (methods.md §7).

Shallow Preference Signals (THUQiXuan/Shallow-preference-signal), §3.3: what DPO changes lies in the first tokens, so a
policy may be followed only there, or only where it differs from the reference. All numbers are exact over the
vocabulary; π_DPO and π_ref are the models' distributions at the decoding temperature, so that a = 0 is at no distance
from the reference whatever the temperature.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from transformers.generation.logits_process import TopPLogitsWarper

from trainers.reading.pair_tokens import Ids
from transforms.choices import RuleKind
from transforms.errors import ConfigError, EngineError, ModelError

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Rule:
    """Which distribution the next token is drawn from.

    Attributes:
        kind: `mix`, `length` (control) or `kl` (threshold).
        value: a of mix, t in tokens of length, b in nats of kl; at least 0, infinity for the last two.
    """

    kind: RuleKind
    value: float

    def __post_init__(self) -> None:
        wrong = not self.value >= 0 or (self.kind == "mix" and math.isinf(self.value))
        if wrong or (self.kind == "length" and math.isfinite(self.value) and self.value != int(self.value)):
            expected = {"mix": "a finite number", "length": "a whole number of tokens", "kl": "a number of nats"}
            message = f"decoding rule {self.kind} has the value {self.value}, expected {expected[self.kind]}, 0 or more"
            raise ConfigError(message)

    def log_probs(self, policy: torch.Tensor, reference: torch.Tensor, position: int) -> torch.Tensor:
        """Log-probs of the next token, (rows, vocabulary).

        Args:
            policy: log π_DPO, (rows, vocabulary).
            reference: log π_ref, (rows, vocabulary).
            position: of the next token in the response, from 0.
        """
        if self.kind == "mix":
            return mix(policy, reference, self.value)
        if self.kind == "length":
            return length_control(policy, reference, self.value, position)
        return kl_threshold(policy, reference, self.value)


def mix(policy: torch.Tensor, reference: torch.Tensor, a: float) -> torch.Tensor:
    """log softmax(a · log(π_DPO/π_ref) + log π_ref): exactly the reference at a = 0, the policy at a = 1.

    Above 1 the policy's change is exaggerated. A token that the reference never gives is never given.
    """
    if a in (0, 1):
        return reference if a == 0 else policy
    mixed = a * policy + (1 - a) * reference
    # With a > 1, minus infinity in the reference would become plus infinity.
    return mixed.masked_fill(reference.isneginf(), -torch.inf).log_softmax(-1)


def length_control(policy: torch.Tensor, reference: torch.Tensor, t: float, position: int) -> torch.Tensor:
    """π_DPO for the first `t` tokens, π_ref for the rest."""
    return policy if position < t else reference


def kl_threshold(policy: torch.Tensor, reference: torch.Tensor, b: float) -> torch.Tensor:
    """π_DPO where KL(π_DPO ‖ π_ref) > b, else π_ref."""
    return torch.where((divergence(policy, reference) > b).unsqueeze(-1), policy, reference)


def divergence(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """KL(one ‖ other) in nats, (rows,), of log-probs (rows, vocabulary). What `one` never gives adds nothing."""
    return torch.where(one.isneginf(), 0.0, one.exp() * (one - other)).sum(-1)


@dataclass(frozen=True, slots=True)
class Settings:
    """How responses are sampled.

    Attributes:
        rule: what from.
        stop: tokens that end a response, such as the end-of-turn.
        max_tokens: of a response, the stop token included.
        temperature: of both models, above 0: a greedy choice has no finite KL.
        top_p: the smallest set of tokens of at least this probability is drawn from, after the rule. Below 1 every
            response is at some distance from the reference, also with a = 0.
    """

    rule: Rule
    stop: tuple[int, ...]
    max_tokens: int
    temperature: float = 1.0
    top_p: float = 1.0


class Decoded(NamedTuple):
    """A sampled response. π is the distribution that each token was drawn from."""

    token_ids: list[int]  # ends in a stop token where finished
    finished: bool  # False: out of room
    log_ratio: float  # Σ_t log(π/π_ref) of the tokens, nats
    kl: Floats  # KL(π ‖ π_ref) at each token, (tokens,), nats
    policy_kl: Floats  # KL(π_DPO ‖ π_ref) there


class Decoder:
    """A policy and its reference, both in memory."""

    def __init__(self, policy: Any, reference: Any) -> None:
        """Take over two transformers causal language models; they are moved to a GPU if there is one.

        Raises:
            ModelError: their vocabularies are not the same size.
        """
        sizes = [int(model.config.get_text_config().vocab_size) for model in (policy, reference)]
        if len(set(sizes)) > 1:
            message = (
                f"the policy has {sizes[0]} tokens and the reference {sizes[1]}: their probabilities can only be mixed"
                " over one vocabulary. The reference is the model that the policy was trained from"
            )
            raise ModelError(message)
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._models = [model.to(device).eval() for model in (policy, reference)]
        self._device = device

    def decode(self, prompts: Sequence[Ids], settings: Settings, seeds: Sequence[int]) -> list[Decoded]:
        """One response to each prompt, in their order.

        A row draws from its own seed. Which rows are decoded together changes its probabilities by rounding only.

        Args:
            prompts: at least one token each, of any lengths; like lengths together save padding.
            settings: how to sample.
            seeds: one a prompt. One seed gives one stream of random numbers, whatever the rule.

        Raises:
            EngineError: a model failed, or its probabilities are not numbers.
        """
        try:
            with torch.inference_mode():
                return self._decode(prompts, settings, seeds)
        except (RuntimeError, ValueError, IndexError) as error:
            message = f"decoding {len(prompts)} prompts failed: {type(error).__name__}: {error}"
            raise EngineError(message) from error

    def close(self) -> None:
        """Free the models."""
        self._models = []
        if self._device.type == "cuda":
            torch.cuda.empty_cache()

    def _decode(self, prompts: Sequence[Ids], settings: Settings, seeds: Sequence[int]) -> list[Decoded]:
        policy, reference = (_Cached(model, settings.temperature) for model in self._models)
        ids, mask = _left_padded(prompts, self._device)
        uniform = _uniform(seeds, settings.max_tokens, self._device)
        taken: list[list[int]] = [[] for _ in prompts]
        numbers: list[list[list[float]]] = [[] for _ in prompts]
        running = torch.arange(len(prompts), device=self._device)
        for position in range(settings.max_tokens):
            of_policy, of_reference = policy.next(ids, mask), reference.next(ids, mask)
            drawn_from = _nucleus(settings.rule.log_probs(of_policy, of_reference, position), settings.top_p)
            tokens = _draw(drawn_from, uniform[running, position])
            ratios = (drawn_from - of_reference).gather(-1, tokens.unsqueeze(-1)).squeeze(-1)
            found = [ratios, divergence(drawn_from, of_reference), divergence(of_policy, of_reference)]
            rows = running.tolist()
            for row, token, three in zip(rows, tokens.tolist(), torch.stack(found, -1).tolist(), strict=True):
                taken[row].append(token)
                numbers[row].append(three)
            going = torch.tensor([taken[row][-1] not in settings.stop for row in rows], device=self._device)
            if not going.any():
                break
            if not going.all():  # finished rows leave the batch, and the caches
                running, mask, tokens = running[going], mask[going], tokens[going]
                policy.select(going)
                reference.select(going)
            ids = tokens.unsqueeze(-1)
            mask = torch.cat([mask, torch.ones_like(ids)], dim=-1)
        return [_decoded(*row, settings.stop) for row in zip(taken, numbers, strict=True)]


class _Cached:
    """A model and its keys and values of the tokens so far."""

    def __init__(self, model: Any, temperature: float) -> None:
        self._model, self._temperature = model, temperature
        self._cache: Any = None  # the model's own kind

    def next(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Log-probs of the next token, (rows, vocabulary), fp32 or wider, after the new `ids` (rows, new)."""
        positions = (mask.cumsum(-1) - 1).clamp(min=0)[:, -ids.shape[1] :]
        output = self._model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=self._cache,
            use_cache=True,
            logits_to_keep=1,
        )
        self._cache = output.past_key_values
        logits = output.logits[:, -1]
        wide = logits.to(torch.promote_types(logits.dtype, torch.float32))
        return (wide / self._temperature).log_softmax(-1)

    def select(self, rows: torch.Tensor) -> None:
        """Forget all rows but those that are True."""
        self._cache.batch_select_indices(rows)


def _left_padded(prompts: Sequence[Ids], device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids and attention mask, both (rows, longest), int64."""
    longest = max(map(len, prompts))
    ids = np.zeros((len(prompts), longest), dtype=np.int64)
    mask = np.zeros_like(ids)
    for row, prompt in enumerate(prompts):
        ids[row, longest - len(prompt) :] = prompt
        mask[row, longest - len(prompt) :] = 1
    return torch.from_numpy(ids).to(device), torch.from_numpy(mask).to(device)


def _uniform(seeds: Sequence[int], tokens: int, device: torch.device) -> torch.Tensor:
    """A row's luck, (rows, tokens) in [0, 1), drawn on the CPU: the same on any device."""
    rows = [torch.rand(tokens, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
    return torch.stack(rows).to(device)


def _nucleus(log_probs: torch.Tensor, top_p: float) -> torch.Tensor:
    if top_p >= 1:
        return log_probs
    kept: torch.Tensor = TopPLogitsWarper(top_p)(None, log_probs)
    return kept.log_softmax(-1)


def _draw(log_probs: torch.Tensor, uniform: torch.Tensor) -> torch.Tensor:
    """The token of each row, (rows,), at which the cumulative probability passes `uniform`, (rows,)."""
    cumulative = log_probs.exp().double().cumsum(-1)
    passed = torch.searchsorted(cumulative, (uniform * cumulative[:, -1]).unsqueeze(-1), right=True)
    return passed.squeeze(-1).clamp(max=log_probs.shape[-1] - 1)


def _decoded(tokens: list[int], numbers: list[list[float]], stop: tuple[int, ...]) -> Decoded:
    ratios, kl, policy_kl = np.array(numbers, dtype=np.float64).T
    if np.isnan(numbers).any():
        at = int(np.isnan(numbers).any(axis=1).argmax())
        message = f"the probabilities of token {at + 1} of a response are not numbers: try dtype float32"
        raise EngineError(message)
    return Decoded(tokens, tokens[-1] in stop, float(ratios.sum()), kl.astype(np.float32), policy_kl.astype(np.float32))
