"""Whose answer is whose when prompts are decoded by length."""

from types import SimpleNamespace

import numpy as np
from flows_support import call_at_once

from flows.decode import flow as decoding
from flows.decode.config import DecodeConfig
from flows.runtime.progress import Progress
from trainers.policies.decoding import Decoded


class Echo:
    """Answers each prompt with the prompt and its seed, and keeps what it was asked at once."""

    asked: list[list[int]]

    def __init__(self, policy, reference):
        Echo.asked = []

    def decode(self, prompts, how, seeds):
        Echo.asked.append([len(ids) for ids in prompts])
        nothing = np.zeros(0)
        return [
            Decoded([*ids.tolist(), seed], finished=True, log_ratio=0.0, kl=nothing, policy_kl=nothing)
            for ids, seed in zip(prompts, seeds, strict=True)
        ]

    def close(self):
        pass


def test_prompts_of_other_lengths_are_decoded_by_length_and_each_gets_its_own_answers(monkeypatch):
    monkeypatch.setattr(decoding, "Decoder", Echo)
    monkeypatch.setattr(decoding, "_load", lambda *_: None)
    wanted = {"run": "run", "policy": "p", "out": "o", "mix": (0, 1), "length": (), "kl": (), "samples": 2, "batch": 3}
    chat = SimpleNamespace(stop_ids=(2,))
    plan = SimpleNamespace(config=DecodeConfig(**wanted), chat=chat, policy=None, reference=None)
    ids = [np.arange(10 * number, 10 * number + length) for number, length in enumerate((5, 2, 9, 3))]
    prompts = decoding.Prompts([f"pair-{number}" for number in range(4)], ids, [], 0)
    found = decoding._decode(plan, prompts, call_at_once, Progress())
    assert Echo.asked == [[2, 2, 3], [3, 5, 5], [9, 9]] * 2
    assert [(task.prompt, task.sample) for task in found.tasks] == [divmod(at, 2) for at in range(8)]
    assert len({task.seed for task in found.tasks}) == 8
    assert [(rule.kind, rule.value) for rule in found.by_rule] == [("mix", 0.0), ("mix", 1.0)]
    for answers in found.by_rule.values():
        assert [one.token_ids for one in answers] == [[*ids[task.prompt].tolist(), task.seed] for task in found.tasks]
