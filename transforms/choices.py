"""Closed lists of words that recipes and stages share. Nothing is imported here, so that `--help` waits for nothing."""

from typing import Literal

# Where runs and trainings report their figures to (flows.runtime.trackers, trainers.steps.reports).
Tracker = Literal["wandb", "tensorboard", "mlflow", "trackio"]

# What becomes of rows that prefer A to B and B to A after one prompt (transforms.preparation.dedupe).
Contradictions = Literal["keep", "drop_both", "majority"]

# What becomes of pairs whose texts hold marks of a chat template (transforms.sources.marks).
ForeignTemplate = Literal["keep", "drop", "quarantine"]

# How decoding mixes a policy with its reference (trainers.policies.decoding).
RuleKind = Literal["mix", "length", "kl"]

# What becomes of a response's <think> (transforms.asking.answers).
Thinking = Literal["keep", "hide", "cut"]

# Which responses of a prompt make pairs (transforms.pairing.strategies).
Strategy = Literal["best_worst", "best_random", "second_worst", "all"]
Unfinished = Literal["allow", "exclude", "rejected_only", "worst"]
Ties = Literal["first", "skip"]
