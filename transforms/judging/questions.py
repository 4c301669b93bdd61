"""A judge's question with the id that the ledger knows its answer by, and the seeds of its tries."""

import json
from hashlib import blake2b
from typing import Any, NamedTuple

from transforms.engines.protocol import ModelIdentity


class Asking(NamedTuple):
    """How every question of a run is asked. All of it decides what is answered.

    Attributes:
        identity: the judge.
        body: what is sent beside prompt and seed: temperature, limits, form of the answer.
        seed: of the run.
        repeat: 0, or 1, 2, … to hear the same question answered again.
    """

    identity: ModelIdentity
    body: dict[str, Any]
    seed: int
    repeat: int = 0


class JudgeQuestion(NamedTuple):
    """A prompt for a judge."""

    request_id: str  # 32 hex digits over everything that decides the answer
    prompt: str

    def seed(self, attempt: int) -> int:
        """Of a try, 31 bits: what could not be read is asked again with the next one."""
        key = f"{self.request_id}\0{attempt}"
        return int.from_bytes(blake2b(key.encode(), digest_size=4).digest(), "big") & 0x7FFFFFFF


def question(prompt: str, asking: Asking) -> JudgeQuestion:
    """The question that a prompt is."""
    facts = ["judgement", asking.identity.facts(), asking.body, asking.seed, asking.repeat, prompt]
    digest = blake2b(json.dumps(facts, sort_keys=True).encode(), digest_size=16)
    return JudgeQuestion(digest.hexdigest(), prompt)
