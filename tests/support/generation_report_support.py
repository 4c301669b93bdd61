"""Generations to tell of: a small manifest worked by hand with its rows, and its texts."""

from typing import Any

import polars as pl

from transforms.records.generation import (
    AgreementRecord,
    AnnotatorRecord,
    GenerationCounts,
    GenerationManifest,
    LengthRecord,
    ReliabilityRecord,
    TauRecord,
    VoiceRecord,
)
from transforms.records.manifest import (
    FileRecord,
    ModelRecord,
    ShareRecord,
    SourceRecord,
    SpendRecord,
    TokenizerRecord,
)
from transforms.report.generation_rows import AnsweredPrompt, AnsweredResponse

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\u202egnp.exe\x00 {{ 7*7 }} | `` \n# h \ud800"
MODEL = ModelRecord(name="org/model", revision="local", fingerprint="f", dtype="float32", engine="vllm")
CONFIG = {
    "policies": [
        {"n": 2, "temperature": 0.8, "top_p": 1.0, "top_k": 0, "min_p": 0.0, "max_new_tokens": 64, "thinking": "keep"}
    ],
    "aggregate": "mean_z",
    "pairing": {"strategy": "best_worst", "min_margin": 0.5, "unfinished": "exclude"},
}
# Three prompts: one with a pair of 2 and 4 tokens, one whose responses tie, one whose second ran out of room.
PROMPTS = [0, 0, 1, 1, 2, 2]
TOKENS = [2, 4, 3, 3, 5, 64]
SCORES = [1.0, 3.0, 2.0, 2.0, 1.5, None]


def responses(**more: Any) -> pl.DataFrame:
    """Six responses of one policy to three prompts; `more` are further columns, or others in their place."""
    columns = {
        "prompt": PROMPTS,
        "policy": ["policy"] * 6,
        "tokens": TOKENS,
        "finished": [True] * 5 + [False],
        "status": ["usable"] * 5 + ["unscored"],
        "score": SCORES,
        "chosen_in": [0, 1, 0, 0, 0, 0],
        "rejected_in": [1, 0, 0, 0, 0, 0],
        "score_reward": SCORES,
    }
    return pl.DataFrame(columns | more, strict=False)


def pairs(**more: Any) -> pl.DataFrame:
    """The one pair: response 1 (4 tokens, score 3) over response 0 (2 tokens, score 1)."""
    return pl.DataFrame({"prompt": [0], "chosen": [1], "rejected": [0], "margin": [2.0]} | more)


def share(value: float, low: float = 0.0, high: float = 1.0, count: int = 4) -> ShareRecord:
    return ShareRecord(value=value, low=low, high=high, count=count)


def voice(label: str = "policy", **changes: Any) -> VoiceRecord:
    fields: dict[str, Any] = {
        "label": label,
        "model": MODEL,
        "tokenizer": TokenizerRecord(name="org/model", sha256="a" * 64, eot="<|im_end|>", eot_id=2),
        "responses": 6,
        "finished": 5,
        "status": {"usable": 5, "unscored": 1},
        "tokens": 81,
        "distinct": 1.0,
        "chosen": 1,
        "rejected": 1,
        "mean_score": 1.9,
    }
    return VoiceRecord(**fields | changes)


def annotator(label: str = "reward", kind: str = "reward", **changes: Any) -> AnnotatorRecord:
    fields: dict[str, Any] = {
        "label": label,
        "kind": kind,
        "model": MODEL,
        "pairwise": False,
        "scored": 5,
        "unscored": {"too long": 1},
        "mean": 1.9,
        "sd": 0.66,
        "spend": SpendRecord(requests=6, generated=4, reused=2, tokens_generated=400, tokens_reused=200),
    }
    return AnnotatorRecord(**fields | changes)


def counts(**changes: Any) -> GenerationCounts:
    fields: dict[str, Any] = {
        "raw_rows": 7,
        "found": 6,
        "repeated": 1,
        "weighed_out": 0,
        "quarantined": 1,
        "prompts": 4,
        "drawn": 3,
        "ended": "max_prompts",
        "responses": 6,
        "status": {"usable": 5, "unscored": 1},
        "with_pair": 1,
        "without_pair": {"tie": 1, "unfinished": 1},
        "pairs": 1,
        "quarantined_responses": 1,
    }
    return GenerationCounts(**fields | changes)


def generation(**changes: Any) -> GenerationManifest:
    """One policy, one annotator that was asked nothing twice, one pair."""
    source = SourceRecord(
        label="prompts",
        kind="prompts",
        path="HuggingFaceH4/ultrachat_200k",
        revision="abc",
        fingerprint="f",
        raw_rows=7,
        pairs=6,
    )
    fields: dict[str, Any] = {
        "name": "small",
        "version": "v1",
        "config": CONFIG,
        "fingerprint": "f",
        "sources": [source],
        "voices": [voice()],
        "annotators": [annotator()],
        "agreement": [],
        "reliability": [ReliabilityRecord(label="reward", ties=None)],
        "length": None,
        "counts": counts(),
        "completions": SpendRecord(requests=6, generated=6, reused=0, tokens_generated=81, tokens_reused=0),
        "files": [FileRecord(path="dataset/train/data-00000-of-00001.arrow", rows=1, sha256="0")],
        "packages": {"numpy": "2.3.5"},
        "git_commit": None,
        "seconds": {"load": 1.0, "answer": 3.0},
        "finished_at": "now",
    }
    return GenerationManifest(**fields | changes)


def three_annotators() -> tuple[GenerationManifest, pl.DataFrame]:
    """The same judged by a model of two objectives, a pairwise judge and something new; with their scores."""
    manifest = generation(
        annotators=[
            annotator(objectives=["help", "safe"]),
            annotator("judge", "judge", pairwise=True, price=1.25, unscored={}, scored=6),
            annotator("brief", "something_new", unscored={}, scored=6, mean=None, sd=None),
        ],
        reliability=[
            ReliabilityRecord(
                label="reward",
                ties=share(1 / 3),
                repeated=4,
                repeat_equal=share(0.75, 0.5, 0.9),
                repeat_turned=share(0.25, 0.1, 0.5),
                repeat_largest=0.125,
            ),
            ReliabilityRecord(
                label="judge",
                ties=share(0.0),
                comparisons=8,
                order_same=share(0.8, 0.6, 0.9, 8),
                first_wins=share(0.7, 0.55, 0.8, 8),
                unreadable=2,
            ),
            ReliabilityRecord(label="brief", ties=share(0.0)),
        ],
        agreement=[
            agreement("reward", "judge", TauRecord(value=0.5, low=0.25, high=0.75, prompts=2), share(1.0, 0.3, 1.0, 2)),
            agreement("reward", "brief", TauRecord(value=-0.2, low=-0.6, high=0.2, prompts=2), share(0.5, 0.1, 0.9, 2)),
            agreement("judge", "brief", None, None),
        ],
        length=LengthRecord(slope=1.0, low=0.5, high=1.5, explained=0.25, applied=False),
    )
    more = {
        "score_reward_help": [0.0, 1.0, 2.0, 2.0, 1.0, None],
        "score_reward_safe": [1.0, 0.0, 0.5, 0.5, 0.5, None],
        "score_judge": [0.0, 1.0, 0.5, 0.5, 1.0, 0.0],
        "score_brief": [-2.0, -4.0, -3.0, -3.0, -5.0, -64.0],
    }
    return manifest, responses(**more)


def agreement(first: str, second: str, tau: TauRecord | None, best: ShareRecord | None) -> AgreementRecord:
    return AgreementRecord(first=first, second=second, tau=tau, same_best=best, left_out={"constant": 1})


def answered(text: str = "The Nile.", **changes: Any) -> AnsweredPrompt:
    """A prompt with a chosen and a rejected response."""
    sides = [
        AnsweredResponse("policy", text, None, 4, True, "usable", None, 3.0, {"reward": 3.0}, "chosen"),
        AnsweredResponse("policy", "Nile", "think", 2, False, "usable", None, 1.0, {"reward": 1.0}, "rejected"),
    ]
    fields: dict[str, Any] = {
        "prompt_id": "5850c6",
        "source": "prompts",
        "why": "the widest margin",
        "unpaired": None,
        "margin": 2.0,
        "prompt": [{"role": "user", "content": text}],
        "responses": sides,
    }
    return AnsweredPrompt(**fields | changes)
