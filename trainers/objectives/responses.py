"""What an objective reads of the responses of a batch; notation as in the papers."""

from dataclasses import dataclass

import torch

from transforms.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Responses:
    """The chosen (or the rejected) responses of some pairs, or any responses, one entry each.

    All tensors are (responses,) and of one floating dtype, `tokens` may be of integers. The properties raise
    ConfigError where they need a field that is None.

    Attributes:
        log_prob: ℓ = log π(y|x), summed over the kept tokens and nothing else; ≤ 0.
        tokens: |y|, how many tokens that are; at least 1, the end-of-turn counted where it was kept.
        reference: ℓ of the frozen reference policy.
        reward: r(x, y) by a reward model.
        value: V(x), by a value head.
        prompt_ratio: log π(x∖t0|t0) − log π_ref(x∖t0|t0) of the response's prompt, t0 its first token.
    """

    log_prob: torch.Tensor
    tokens: torch.Tensor
    reference: torch.Tensor | None = None
    reward: torch.Tensor | None = None
    value: torch.Tensor | None = None
    prompt_ratio: torch.Tensor | None = None

    @property
    def mean(self) -> torch.Tensor:
        """ℓ̄ = ℓ/|y|, nats a token."""
        return self.log_prob / self.tokens

    @property
    def delta(self) -> torch.Tensor:
        """Δ = ℓ − ℓ_ref, nats."""
        return self.log_prob - self.need("reference")

    @property
    def mean_delta(self) -> torch.Tensor:
        """Δ̄ = Δ/|y|, nats a token."""
        return self.delta / self.tokens

    def need(self, field: str) -> torch.Tensor:
        """The tensor in `field`.

        Raises:
            ConfigError: it is None.
        """
        found = getattr(self, field)
        if found is None:
            message = f"this objective reads {field} of every response, but the batch has none"
            raise ConfigError(message)
        return found
