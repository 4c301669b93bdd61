"""From two models' answers to win rates, and on how many prompts they rest."""

import numpy as np

from flows.answers.benchmark import FoundBenchmark, benchmark_rate
from flows.answers.reading import Answered, left_out
from transforms.evaluation.alpaca_eval import Judgement
from transforms.pairing.win_rate import Comparisons, length_controlled_of, win_rate_of
from transforms.records.answers import AlpacaEvalRecord, WinsRecord
from transforms.records.manifest import ShareRecord
from transforms.statistics.intervals import Rate


def wins_record(label: str, answered: Answered, compared: Comparisons, benchmark: FoundBenchmark | None) -> WinsRecord:
    """How often the model's answers beat the baseline's.

    Args:
        label: of the model.
        answered: what both wrote.
        compared: their comparisons.
        benchmark: for AlpacaEval's own rate.
    """
    plain, equal = win_rate_of(compared), length_controlled_of(compared)
    own = benchmark and benchmark_rate(judgements(answered, compared), benchmark.benchmark)
    return WinsRecord(
        label=label,
        prompts=compared.there,
        left_out=left_out(answered, compared),
        rate=_share(plain.rate, plain.prompts),
        ties=plain.ties,
        at_equal_length=_share(equal.rate, equal.prompts) if equal.rate else None,
        not_fitted=equal.not_fitted,
        extrapolated=equal.extrapolated,
        alpaca_eval=own if isinstance(own, AlpacaEvalRecord) else None,
        alpaca_eval_why=own if isinstance(own, str) else None,
    )


def judgements(answered: Answered, compared: Comparisons) -> list[Judgement]:
    """A judgement a prompt as AlpacaEval has it, the mean over several answers; without prompts of more turns."""
    longer = np.bincount(compared.prompt, -compared.longer * compared.weight, len(compared.prompts))
    return [
        Judgement(instruction, float(share), float(more))
        for prompt, share, more in zip(compared.prompts.tolist(), compared.shares, longer, strict=True)
        if (instruction := answered.instructions[prompt]) is not None
    ]


def _share(rate: Rate, count: int) -> ShareRecord:
    return ShareRecord(value=rate.value, low=rate.low, high=rate.high, count=count)
