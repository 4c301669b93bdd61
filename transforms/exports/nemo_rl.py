"""NeMo RL's preferences, for its DPO and reward model recipes: completions with ranks, the lower one preferred.

    {"context": [{"role": "user", "content": "Name a river."}],
     "completions": [{"rank": 0, "completion": [{"role": "assistant", "content": "The Nile."}]},
                     {"rank": 1, "completion": [{"role": "assistant", "content": "Paris."}]}]}

Source: NVIDIA-NeMo/RL, nemo_rl/data/datasets/preference_datasets/preference_dataset.py at 566c178
(`dataset_name: PreferenceDataset`; 0.6.0's API page says the same), nemo_rl/data/processors.py:preference_preprocessor
and nemo_rl/data/llm_message_utils.py:get_formatted_message_log. The preprocessor wants exactly two completions of
different rank, reads `context` and `completions` alone, hands no tools to the template, and appends the eos token where
the template has not (`add_eos_token`). Its other class, BinaryPreferenceDataset, takes `chosen` and `rejected` as text
and makes these rows of them; ranks keep what further fields a response has.
"""

from typing import Any

from transforms.exports.pairs import Pair, beside


def nemo_rl_row(pair: Pair) -> dict[str, Any]:
    """A line of the file, of a pair for which `why_not` without tools is None."""
    answers = (pair.chosen, pair.rejected)
    return {
        "context": list(pair.asked.turns),
        "completions": [{"rank": rank, "completion": [answer.turn]} for rank, answer in enumerate(answers)],
        **beside(pair),
    }
