"""Settings that papers report for models, beside the defaults of the objectives; each with where it is known from."""

from typing import Final, NamedTuple

from trainers.objectives.by_response import LOG_Z0_OF_ALGORITHM_1, LOG_Z0_OF_ITS_RANGE


class Published(NamedTuple):
    """How a paper trained a model."""

    settings: dict[str, float | str]
    learning_rate: float | None  # None: not known here
    source: str


_SIMPO: Final = "SimPO's repository, README, where γ/β is quoted"
_TABLE_3: Final = "AlphaPO, table 3"

# Objective → model → settings. Where nothing else is said: 128 pairs a step, prompts of at most 1,800 and sequences of
# at most 2,048 tokens, a cosine schedule with a warm-up of 0.1, one epoch.
PUBLISHED: Final[dict[str, dict[str, Published]]] = {
    "simpo": {
        "mistral-7b-base": Published({"beta": 2.0, "gamma_beta_ratio": 0.8}, 3e-7, _SIMPO),
        "llama-3-8b-base": Published({"beta": 2.0, "gamma_beta_ratio": 0.5}, 6e-7, _SIMPO),
        "llama-3-8b-instruct-v0.2": Published({"beta": 10.0, "gamma_beta_ratio": 0.3}, 1e-6, _SIMPO),
        "gemma-2-9b-it": Published({"beta": 10.0, "gamma_beta_ratio": 0.5}, 8e-7, _SIMPO),
    },
    # On-policy pairs of UltraFeedback's prompts. A fourth row, Llama-3 with pairs by PairRM, is left out: it is known
    # here from a third party's transcription of the table alone.
    "alphapo": {
        "llama-3-8b-instruct": Published(
            {"alpha": 0.25, "beta": 10.0, "gamma_beta_ratio": 0.3},
            1.1e-6,
            f"{_TABLE_3}; β and γ/β by a third party's transcription, and SimPO's for this model and pairs by ArmoRM",
        ),
        "mistral-7b-instruct": Published(
            {"alpha": 0.25, "beta": 2.5, "gamma_beta_ratio": 0.1},
            7e-7,
            f"{_TABLE_3}, as TRL's paper index and a third party's transcription quote it; TRL calls the 0.1 γ, and "
            "SimPO's 0.1 for this model is γ/β",
        ),
        "gemma-2-9b-it": Published(
            {"alpha": 0.1, "beta": 10.0, "gamma_beta_ratio": 0.5},
            8e-7,
            f"{_TABLE_3}; all but α by a third party's transcription, and SimPO's for this model",
        ),
    },
    # The middle of 3e-7 … 7e-7.
    "dpo": {"default": Published({"beta": 0.01}, 5e-7, "POET, 3e-7 for Llama-3-8B-Instruct and 5e-7 else")},
    "cal_dpo": {
        "mistral-7b-base": Published(
            {"beta": 0.001, "form": "paper"},
            5e-7,
            "its authors' Cal-DPO/Cal-DPO, finetune_cal-dpo_0001.sh: three epochs, linear schedule",
        ),
        "zephyr-7b-sft-full": Published(
            {"beta": 0.002, "form": "authors"}, 5e-7, "its authors' tengxiao1/Cal-DPO, dpo_config_full.yaml"
        ),
    },
    "sppo": {"llama-3-8b-instruct": Published({"beta": 0.001}, 5e-7, "arXiv 2405.00675")},
    # Three epochs with the best kept and, in the main runs, two responses a prompt.
    "rao": {
        "Z_0 = 50": Published(
            {"beta": 0.1, "log_z0": LOG_Z0_OF_ALGORITHM_1}, None, "RAO, algorithm 1 as it is printed"
        ),
        "log Z_0 = 50": Published(
            {"beta": 0.1, "log_z0": LOG_Z0_OF_ITS_RANGE}, None, "RAO, by its range for Z_0, −50 … 500"
        ),
    },
}
