"""Settings that papers report for models, beside the defaults of the objectives."""

from typing import Final, NamedTuple


class Published(NamedTuple):
    """How a paper trained a model."""

    settings: dict[str, float]
    learning_rate: float


# Objective → model → settings. All with 128 pairs a step, prompts of at most 1,800 and sequences of at most 2,048
# tokens, a cosine schedule with a warm-up of 0.1, one epoch. SimPO: its repository's README, where γ/β is quoted.
PUBLISHED: Final[dict[str, dict[str, Published]]] = {
    "simpo": {
        "mistral-7b-base": Published({"beta": 2.0, "gamma_beta_ratio": 0.8}, 3e-7),
        "llama-3-8b-base": Published({"beta": 2.0, "gamma_beta_ratio": 0.5}, 6e-7),
        "llama-3-8b-instruct-v0.2": Published({"beta": 10.0, "gamma_beta_ratio": 0.3}, 1e-6),
        "gemma-2-9b-it": Published({"beta": 10.0, "gamma_beta_ratio": 0.5}, 8e-7),
    },
    # The middle of 3e-7 … 7e-7.
    "dpo": {"default": Published({"beta": 0.01}, 5e-7)},
    "cal_dpo": {"mistral-7b-base": Published({"beta": 0.001, "dpo_beta": 1.0}, 5e-7)},
    "sppo": {"llama-3-8b-instruct": Published({"beta": 0.001}, 5e-7)},
}
