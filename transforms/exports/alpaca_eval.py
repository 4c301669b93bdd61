"""AlpacaEval's model outputs: a JSON list, a row an instruction.

    [{"dataset": "helpful_base", "instruction": "Name a river.", "output": "The Nile.", "generator": "my-model"}]

Source: alpaca_eval 0.6.6 (PyPI), `main.evaluate` and `annotators.PairwiseAnnotator.annotate_head2head`, run on these
files by benchmarks/handoffs.py. It reads the file with pandas, joins it with the reference outputs on `instruction`
(an inner join: a missing one is a warning, and is in no rate), takes the model's name from `generator` where all rows
have one, and lengths from `output`.
"""

from collections.abc import Iterable
from typing import Any

from transforms.exports.json_lines import json_line
from transforms.exports.questions import Question


def alpaca_eval_row(question: Question, output: str, *, model: str) -> dict[str, Any]:
    """A row of the list; `dataset`, the part of the benchmark, where its file says it."""
    dataset = question.raw.get("dataset")
    head = {"dataset": dataset} if isinstance(dataset, str) else {}
    return {**head, "instruction": question.turns[0], "output": output, "generator": model}


def json_list(rows: Iterable[dict[str, Any]]) -> bytes:
    """The rows as one JSON list, a line each.

    Raises:
        ValueError: as `json_line`.
    """
    return b"[\n" + b",\n".join(json_line(row).rstrip(b"\n") for row in rows) + b"\n]\n"
