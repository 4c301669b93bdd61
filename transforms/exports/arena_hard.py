"""Arena-Hard v2's model answers: `data/arena-hard-v2.0/model_answer/MODEL.jsonl`, a line an answer.

    {"uid": "2edbb5f36f5b42be", "ans_id": "58c13e5a9b0f7d42", "model": "my-model",
     "messages": [{"role": "user", "content": "Name a river."},
                  {"role": "assistant", "content": {"answer": "The Nile."}}],
     "tstamp": 1764500000.0, "metadata": {"token_len": 4, "header_count": {"h1": 0, …}, …}}

Source: lmarena/arena-hard-auto, commit bed160442a7e (src/arenahard/gen_answer.py, gen_judgment.py) and commit
3bab2949d60f (utils/add_markdown_info.py, utils/completion.py). gen_judgment.py reads `uid`, `model` and the answer of
the last message; a question without an answer is a warning there, and is not judged. Nobody reads `ans_id` and
`tstamp`. `metadata` is what style control is by: show_result.py takes its numbers by their place, so it is whole or
not there, and then the benchmark's own utils/add_markdown_info.py makes it.
"""

import re
from collections.abc import Callable
from typing import Any, Final

from transforms.exports.questions import Question
from transforms.sources.canonical import content_hash

FOLDER: Final = "data/arena-hard-v2.0/model_answer"
ENCODING_OF: Final = "gpt-4o"  # the model whose tokens `token_len` counts
_FENCED: Final = re.compile("```([^`]*)```")
_HEADER: Final = re.compile(r"^(#{1,6})\s", re.MULTILINE)
_ORDERED: Final = re.compile(r"^\s*\d+\.\s", re.MULTILINE)
_UNORDERED: Final = re.compile(r"^\s*[-*+]\s", re.MULTILINE)
_BOLD: Final = {"**": re.compile(r"\*\*[^*\n]+\*\*"), "__": re.compile(r"__[^_\n]+__")}


def arena_hard_row(
    question: Question, answer: str, *, model: str, tstamp: float, tokens: Callable[[str], int] | None
) -> dict[str, Any]:
    """A line of the file.

    Args:
        question: of the benchmark.
        answer: without reasoning.
        model: the name of the file, too.
        tstamp: seconds since 1970 at which the run of the answers had ended: the same for all.
        tokens: of a text, as ENCODING_OF's tokenizer has them; None leaves `metadata` out.
    """
    row = {
        "uid": question.id,
        "ans_id": content_hash(model, str(question.id), answer),
        "model": model,
        "messages": [
            {"role": "user", "content": question.turns[0]},
            {"role": "assistant", "content": {"answer": answer}},
        ],
        "tstamp": tstamp,
    }
    return row if tokens is None else {**row, "metadata": {"token_len": tokens(answer), **markdown_counts(answer)}}


def markdown_counts(answer: str) -> dict[str, dict[str, int]]:
    """Headers, list items and bold stretches, as the benchmark counts them: outside of fenced code.

    What stands between two fences is taken out wherever it stands in the answer, as there.
    """
    for block in _FENCED.findall(answer):
        answer = answer.replace(block, "")
    levels = [len(marks) for marks in _HEADER.findall(answer)]
    return {
        "header_count": {f"h{level}": levels.count(level) for level in range(1, 7)},
        "list_count": {"ordered": len(_ORDERED.findall(answer)), "unordered": len(_UNORDERED.findall(answer))},
        "bold_count": {mark: len(pattern.findall(answer)) for mark, pattern in _BOLD.items()},
    }
