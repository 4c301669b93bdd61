"""MT-Bench's model answers, `data/mt_bench/model_answer/MODEL.jsonl`, and the prompts of its second turns.

    {"question_id": 81, "answer_id": "58c13e5a9b0f7d42", "model_id": "my-model",
     "choices": [{"index": 0, "turns": ["The Nile, the Rhine and the Po.", "The Nile."]}], "tstamp": 1764500000.0}

Source: fschat 0.2.36 (PyPI; lm-sys/FastChat), `fastchat.llm_judge.gen_model_answer` and `common`, whose
`load_model_answers` and `check_data` benchmarks/handoffs.py runs on these files. `check_data` ends where a question has
no answer, so none may be missing. Nobody reads `answer_id` and `tstamp`.

A second turn is asked with the model's own first answer before it. So it is a prompt of its own, for a second
generation:

    {"id": "81", "messages": [{"role": "user", "content": "Name three rivers."},
                              {"role": "assistant", "content": "The Nile, the Rhine and the Po."},
                              {"role": "user", "content": "Which is the longest?"}]}
"""

from collections.abc import Sequence
from typing import Any, Final

from transforms.chat.conversation import Turn
from transforms.exports.questions import Question
from transforms.sources.canonical import content_hash

FOLDER: Final = "data/mt_bench/model_answer"


def mt_bench_row(question: Question, answers: Sequence[str], *, model: str, tstamp: float) -> dict[str, Any]:
    """A line of the file.

    Args:
        question: of the benchmark.
        answers: one a turn, without reasoning.
        model: the name of the file, too.
        tstamp: seconds since 1970 at which the run of the last answers had ended: the same for all.
    """
    return {
        "question_id": question.id,
        "answer_id": content_hash(model, str(question.id), *answers),
        "model_id": model,
        "choices": [{"index": 0, "turns": list(answers)}],
        "tstamp": tstamp,
    }


def second_turn_prompt(question: Question, prompt: Sequence[Turn], answer: str) -> dict[str, Any]:
    """A row that `kind: prompts` reads: what was asked and answered, and the second question.

    Args:
        question: of two turns.
        prompt: the first, as it was asked.
        answer: the policy's own, with a text.
    """
    turns = [*prompt, {"role": "assistant", "content": answer}, {"role": "user", "content": question.turns[1]}]
    return {"id": str(question.id), "messages": turns}
