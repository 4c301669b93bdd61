"""What each column of a curated dataset means, in words; `schema` has the types."""

from typing import Final

# Of dataset/ and dropped/ (schema.CURATED), side by side where a column is one of two.
CURATED: Final = {
    "pair_id": "Content: 16 hex digits of the prompt's hash, then 16 of the whole pair's. Rows are sorted by it.",
    "source": "The source's `label`, or its kind.",
    "source_id": "The source's own id of the row, or the hash of the row.",
    "prompt": "Messages, ending with the user's turn.",
    "chosen": "The kept tokens as text. For people: a template would end its turn.",
    "rejected": "Likewise.",
    "chosen_full": "The response before the cut.",
    "rejected_full": "Likewise.",
    "prompt_ids": "Chat template of the prompt with the generation prompt, as token ids.",
    "chosen_ids": "The whole response as token ids, its end-of-turn included if it finished.",
    "rejected_ids": "Likewise.",
    "chosen_keep": "How many of `chosen_ids` are used: train on `prompt_ids + chosen_ids[:chosen_keep]`.",
    "rejected_keep": "Likewise.",
    "chosen_cut": "The kept tokens lack the end-of-turn.",
    "rejected_cut": "Likewise.",
    "chosen_cut_by": "The rule that bound: `none`, `poet`, `ratio`, `tokens`, `eot` or `context`.",
    "rejected_cut_by": "Likewise.",
    "chosen_finished": "The response ended by itself; false where a source says that sampling ran out of room.",
    "rejected_finished": "Likewise.",
    "chosen_score": "The source's own score, if it has one.",
    "rejected_score": "Likewise.",
    "reward_chosen": "The run's reward model on the full chosen response. Null where the recipe samples nothing, as "
    "are the next eleven.",
    "reward_rejected": "Likewise, of the rejected response.",
    "value_chosen": "With `proxy.values`, the reward model on the kept prefix as it is, where the side is cut.",
    "value_rejected": "Likewise, of the rejected response.",
    "consistency": "Share of completions that keep the order, ties one half; null where the proxy decided unsampled.",
    "consistency_low": "Lower end of the 95 % interval of the posterior. With `estimator: rewards` it and `p_keep` "
    "know by how much completions won, so they may say other than the share does.",
    "consistency_high": "Its upper end.",
    "consistency_by_reward": "The same share against the reward model's own order of the full responses.",
    "n": "Completions a cut side; 0 where nothing was sampled.",
    "p_keep": "P(consistency ≥ τ) when the pair was decided.",
    "posterior": "P(the consistency with the recipe's reference lies in each twentieth of 0 to 1) when it was decided; "
    "null where nothing was cut.",
    "expected": "Consistency that was foretold before the first completion, by the reward margin where there is a "
    "proxy and by a fit that had not seen the pair; null without proxy and estimator by rewards.",
    "audit": "Sampled as part of the random audit.",
    "decided_by": "`uncut`, `proxy`, `sampling`, `n_max`, `stopped` or `undecided`.",
    "verdict": "`keep` or `drop`.",
    "reason": "Why it was dropped; null for kept pairs.",
    "chosen_appended_ids": "What training reads behind `chosen_ids[:chosen_keep]` although the response did not say "
    "it: the end-of-turn that it lacks (`truncate.eot: always`); null where it lacks none. The column is there only in "
    "such runs.",
    "rejected_appended_ids": "Likewise.",
    "structure": "What is not in role and content, as JSON text: `tools`, `chat_template_kwargs`, further fields of "
    "messages, such as `tool_calls` (`prompt` by turn number, `chosen`, `rejected`). The column is there only if a row "
    "of the run has any.",
}

# Of responses/ (schema.RESPONSES).
RESPONSES: Final = {
    "prompt_id": "The prompt's hash: the first 16 digits of the `pair_id` of its pairs.",
    "source": "The source's `label`, or its kind.",
    "source_id": "The source's own id of the row, or the hash of the row.",
    "prompt": "Messages, ending with the user's turn.",
    "response_index": "Place of the response in its row.",
    "response": "The whole text.",
    "finished": "The response ended by itself.",
    "model": "What wrote it, if the source says so.",
    "score": "The source's own score, if it has one.",
    "structure": "As in dataset/, of the prompt.",
}

# Of a generation's dataset/train (schema.PAIRED).
PAIRED: Final = {
    "pair_id": "Content: 16 hex digits of the prompt's hash, then 16 of the whole pair's.",
    "prompt_id": "Content: the first 16 digits of `pair_id`; what `responses/` knows the prompt by.",
    "source": "Where the prompt is from: the source's `label`, or its kind.",
    "source_id": "The source's own id of the prompt, or the hash of the row.",
    "prompt": "Messages as the source has them, without a policy's system prompt.",
    "chosen": "The better response as text; reasoning is in `structure`.",
    "rejected": "Likewise, the worse one.",
    "chosen_ids": "As sampled, in the tokens of the policy that answered; null where reasoning was cut out.",
    "rejected_ids": "Likewise.",
    "chosen_finished": "The response ended by itself; false where it ran out of room.",
    "rejected_finished": "Likewise.",
    "chosen_score": "The aggregate of all annotators.",
    "rejected_score": "Likewise.",
    "chosen_policy": "Who answered, as the recipe calls it.",
    "rejected_policy": "Likewise.",
    "chosen_index": "`response_index` of the response in `responses/`.",
    "rejected_index": "Likewise.",
    "margin": "What the rule chose by: the difference of scores, where the recipe says so less what length explains.",
    "structure": "What of the conversation is in no other column (tools, fields of turns, reasoning), as JSON; the "
    "column is there if a row needs it.",
}

# Of a generation's responses/ (schema.ANSWERS), and what is written beside it.
ANSWERS: Final = {
    "prompt_id": "Content of the prompt, 16 hex digits.",
    "source": "Where the prompt is from: the source's `label`, or its kind.",
    "source_id": "The source's own id of the prompt, or the hash of the row.",
    "prompt": "Messages as the source has them, without a policy's system prompt.",
    "response_index": "Place among the prompt's responses of all policies.",
    "policy": "Who answered, as the recipe calls it.",
    "sample_index": "Place among the prompt's responses of this policy.",
    "seed": "Of the sampling of this response.",
    "prompt_ids": "What it was sampled from, in the policy's own tokens, its system prompt included.",
    "response_ids": "As sampled; they end in a stop token where it finished.",
    "response": "The text that they say, without reasoning.",
    "reasoning": "What stood between its marks of thinking; null where there was none.",
    "finished": "It ended by itself; false where it ran out of room.",
    "status": "`usable`, `empty` (no text), `no_answer` (it ended within its reasoning), `unusable` (text and tokens "
    "do not say the same), `unscored` (an annotator gave no score).",
    "why": "Why it is not usable; null where it is.",
    "structure": "As in `dataset/`.",
}
SCORES: Final = {
    "score": "The aggregate of all annotators; null where there is none.",
    "score_NAME": "One column an annotator of the recipe, by its name; higher is better, null where it gave none.",
    "score_NAME_OBJECTIVE": "Of an annotator with several objectives, one column an objective.",
    "chosen_in": "Pairs whose chosen side it is.",
    "rejected_in": "Pairs whose rejected side it is.",
}
