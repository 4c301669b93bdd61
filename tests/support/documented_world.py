"""A checkout in a folder of its own where every documented command can be run in seconds.

The commands are run as they stand. What is small is behind the names: models of a few thousand random weights, a dozen
rows a dataset, recipes with fewer and shorter completions, transformers where they say vLLM.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import yaml
from docs_support import ROOT, written_files
from hub_api import Answer, Repo, Request
from loopback_hub import LoopbackHub
from stand_in_lm_eval import write_stand_in
from tests_support import tiny_tokenizer

from transforms.engines import starter_model

POLICIES: Final = (
    "HuggingFaceH4/mistral-7b-sft-beta",
    "meta-llama/Llama-3.1-8B-Instruct",
    "meta-llama/Meta-Llama-3-8B-Instruct",
)
REWARDS: Final = ("Skywork/Skywork-Reward-V2-Llama-3.1-8B",)
PROMPTS_SHOWN: Final = {"writing-038"}  # in the documentation by name
FEW: Final = 10


def serve_models(hub: LoopbackHub) -> None:
    """Models among the hub's datasets, whose names are others."""
    respond = hub.respond

    def with_models(request: Request) -> Answer:
        url = request.url.replace("/api/models/", "/api/datasets/", 1)
        if "/resolve/" in url and not url.startswith("/datasets/"):
            url = f"/datasets{url}"
        return respond(request._replace(url=url))

    hub.respond = with_models  # type: ignore[method-assign]


def fill_hub(hub: LoopbackHub, models: Path) -> None:
    """Every Hub name that the documented commands and the shipped recipes read."""
    for names, kind in ((POLICIES, "my-policy"), (REWARDS, "my-reward-model")):
        files = {path.name: path.read_bytes() for path in (models / kind).iterdir()}
        for name in names:
            add(hub, name, files)
    add(hub, "openbmb/UltraFeedback", _split("train", [_rated(number) for number in range(12)]))
    talks = [_two_talks(number) for number in range(12)]
    add(hub, "Skywork/Skywork-Reward-Preference-80K-v0.2", _split("train", talks))
    own = [_onpolicy(number) for number in range(12)]
    add(hub, "princeton-nlp/llama3-ultrafeedback-armorm", _split("train", own))
    bench = [{"id": n, "prompt": f"q {n}", "chosen": "one two three four", "rejected": "dog"} for n in range(8)]
    subsets = ("alpacaeval-easy", "mt-bench-hard")
    add(hub, "allenai/reward-bench-2", _split("test", [_best_of(number) for number in range(8)]))
    add(hub, "allenai/reward-bench", _split("filtered", [row | {"subset": subsets[row["id"] % 2]} for row in bench]))


def add(hub: LoopbackHub, name: str, files: dict[str, bytes]) -> None:
    """A public repository with these files."""
    hub.repos[name] = Repo(private=False)
    hub.push(name, files)


def make_checkout(folder: Path) -> None:
    """Code, recipes and starter data in `folder`, the models `my-policy`, `my-reward-model`, `my-judge`, a `.venv`."""
    for name in ("flows", "transforms", "trainers", "data_cards", "docs"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("Makefile", "requirements.lock"):
        shutil.copy(ROOT / name, folder / name)
    for path in (folder / "flows/configs").glob("*.yaml"):
        path.write_text(yaml.safe_dump(_smaller(yaml.safe_load(path.read_text()))))
    for path in (folder / "flows/configs/generate").glob("*.yaml"):
        path.write_text(yaml.safe_dump(_briefer(yaml.safe_load(path.read_text()))))
    path = folder / "flows/configs/evaluate/answers.yaml"
    path.write_text(yaml.safe_dump(_curter(yaml.safe_load(path.read_text()))))
    for path in (folder / "flows/configs/train").glob("*.yaml"):
        path.write_text(yaml.safe_dump(_faster(yaml.safe_load(path.read_text()))))
    for path in (folder / "flows/configs/rounds").glob("*.yaml"):
        path.write_text(yaml.safe_dump(_shorter(yaml.safe_load(path.read_text()))))
    for path in (folder / "flows/configs/reproduce/small").glob("*.yaml"):
        path.write_text(yaml.safe_dump(_quick(yaml.safe_load(path.read_text()))))
    for name, text in written_files().items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text if name.endswith(".py") else yaml.safe_dump(_small(yaml.safe_load(text))))
    write_stand_in(folder / "lm-eval" / "bin")
    _make_models(folder)
    for name, start in (("my_prompts", 0), ("my_other_prompts", 100)):
        lines = [orjson.dumps({"prompt": f"question {start + n}"}) + b"\n" for n in range(FEW)]
        (folder / f"{name}.jsonl").write_bytes(b"".join(lines))
    _fill_chat_benchmarks(folder)
    rows = [{"prompt": f"question {n}", "chosen": "the cat sat on the mat", "rejected": "dog"} for n in range(20)]
    (folder / "my_pairs.jsonl").write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
    answers = [{"prompt": row["prompt"], "completion": row["chosen"]} for row in rows]
    (folder / "my_completions.jsonl").write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in answers))
    _keep_few_prompts(folder / "data_cards/starter/responses.parquet")
    scripts = folder / ".venv/bin"
    scripts.mkdir(parents=True)
    (scripts / "python").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    (scripts / "python").chmod(0o755)
    (folder / ".venv/ready").touch()


def smollm2_is_tiny(cache: Path, models: Path) -> None:
    """Put a small model where the converted SmolLM2 would lie; `PREFERENCE_CURATION_CACHE` is `cache`."""
    convert = starter_model._convert
    starter_model._convert = lambda _source, folder: shutil.copytree(models / "my-policy", folder, dirs_exist_ok=True)
    before = os.environ.get("PREFERENCE_CURATION_CACHE")
    os.environ["PREFERENCE_CURATION_CACHE"] = str(cache)
    try:
        starter_model.smollm2_folder()
    finally:
        starter_model._convert = convert
        os.environ.pop("PREFERENCE_CURATION_CACHE")
        if before is not None:
            os.environ["PREFERENCE_CURATION_CACHE"] = before


class Reader:
    """Somebody who types the commands: one process, so that torch and Prefect are imported once."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder, self.environment = folder, environment
        script = Path(__file__).with_name("reader_process.py")
        self._process = subprocess.Popen(
            [sys.executable, str(script)],
            cwd=folder,
            env=environment | {"PYTHONPATH": str(folder)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def type(self, argv: list[str]) -> tuple[int, str]:
        """Exit code and output of `python -m MODULE …`."""
        return self._ask({"argv": argv})

    def run(self, code: str, page: str) -> tuple[int, str]:
        """Whether a block of Python runs, after those before it on its page."""
        return self._ask({"code": code, "page": page})

    def make(self, target: str) -> tuple[int, str]:
        done = subprocess.run(
            ["make", target], cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False
        )
        return done.returncode, done.stdout + done.stderr

    def close(self) -> None:
        assert self._process.stdin
        self._process.communicate(timeout=60)

    def _ask(self, question: dict[str, Any]) -> tuple[int, str]:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        answered = json.loads(self._process.stdout.readline())
        return answered["code"], answered["output"]


def _make_models(folder: Path) -> None:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM, LlamaForSequenceClassification

    tokenizer = tiny_tokenizer()
    shape = {
        "vocab_size": len(tokenizer), "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1,
        "num_attention_heads": 2, "max_position_embeddings": 8192,
        "pad_token_id": tokenizer.pad_token_id, "eos_token_id": tokenizer.eos_token_id,
    }  # fmt: skip
    torch.manual_seed(0)
    # The judge is made last: what the others weigh, and so what the pages are shown, does not follow from it.
    first = {
        "my-policy": LlamaForCausalLM(LlamaConfig(**shape)),
        "my-reward-model": LlamaForSequenceClassification(LlamaConfig(**shape, num_labels=1)),
    }
    for name, model in first.items():
        _save(folder / name, model, tokenizer)
    _save(folder / "my-judge", LlamaForSequenceClassification(LlamaConfig(**shape, num_labels=1)), tokenizer)


def _save(folder: Path, model: Any, tokenizer: Any) -> None:
    """A model of random weights, with a tokenizer."""
    import torch

    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _fill_chat_benchmarks(folder: Path) -> None:
    """Questions of chat benchmarks, and verdicts on them, where their own tools have them."""
    arena = folder / "arena-hard-auto/data/arena-hard-v2.0"
    mt_bench = folder / "FastChat/fastchat/llm_judge/data/mt_bench"
    asked = [{"uid": str(n), "category": "hard_prompt", "prompt": f"question {n}"} for n in range(3)]
    games = [{"score": "A>B"}, {"score": "A>>B"}]
    by = {"model": "my-model", "judge": "gpt-4.1", "baseline": "o3-mini-2025-01-31", "games": games}
    rating = {"model": "my-model", "judge": ["gpt-4", "single-v1"], "score": 7}
    found: dict[Path, list[dict[str, Any]]] = {
        folder / "alpaca_eval.json": [{"instruction": f"question {n}", "output": "dog"} for n in range(3)],
        arena / "question.jsonl": asked,
        arena / "model_judgment/gpt-4.1/my-model.jsonl": [{**one, **by} for one in asked],
        mt_bench / "question.jsonl": [
            {"question_id": 81 + n, "category": "math", "turns": [f"question {n}", "and then?"]} for n in range(2)
        ],
        mt_bench / "model_judgment/gpt-4_single.jsonl": [
            {"question_id": 81 + n, "turn": turn, **rating} for n in range(2) for turn in (1, 2)
        ],
    }
    for path, rows in found.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))


def _small(written: dict[str, Any]) -> dict[str, Any]:
    """A recipe that a page tells the reader to write, whatever it is of."""
    if "rounds" in written:
        return _shorter(written)
    if "answers" in written:
        return _curter(written)
    # Nothing is sampled, or by lm_eval's stand-in, or by both models of a decoding, which are tiny.
    if written.keys() & {"annotations", "tasks", "task", "reference"}:
        return written
    return _briefer(written) if "policies" in written else _smaller(written)


def _smaller(recipe: dict[str, Any]) -> dict[str, Any]:
    """A recipe with fewer and shorter completions, without vLLM."""
    if recipe["policy"].get("engine", "auto") in ("auto", "vllm"):
        recipe["policy"] |= {"engine": "transformers", "dtype": "float32"}
    if "sampling" in recipe:
        most = max(recipe["sampling"].get("first", 1), 2)
        recipe["sampling"] |= {"n": most, "max_new_tokens": 4}
    if "generate" in recipe:
        recipe["generate"] = _briefer(recipe["generate"])
        recipe["sampling"] = {"n": 2, "max_new_tokens": 4}
    if "output" in recipe:
        recipe["output"]["test_size"] = max(0.25, recipe["output"].get("test_size", 0))
    return recipe


def _briefer(generation: dict[str, Any]) -> dict[str, Any]:
    """A generation with fewer and shorter responses, without vLLM; they never end, so unfinished ones make pairs."""
    for policy in generation["policies"]:
        policy |= {"engine": "transformers", "dtype": "float32", "n": 2, "max_new_tokens": 4}
    generation["pairing"] = generation.get("pairing", {}) | {"unfinished": "allow"}
    return generation


def _shorter(rounds: dict[str, Any]) -> dict[str, Any]:
    """Rounds of few short responses, without vLLM."""
    for policy in rounds["curate"]["generate"]["policies"]:
        policy |= {"engine": "transformers", "dtype": "float32", "n": 4, "max_new_tokens": 4}
    rounds["curate"]["generate"].setdefault("pairing", {})["unfinished"] = "allow"
    rounds["train"]["memory"] = rounds["train"].get("memory", {}) | {"batch_tokens": 8192}
    return rounds


def _curter(evaluation: dict[str, Any]) -> dict[str, Any]:
    """Answers of few tokens, without vLLM."""
    answers = evaluation["answers"]
    completers = [answers["prefixes"]["completer"]] if answers.get("prefixes") else []
    for model in (*answers["models"], *completers):
        model |= {"engine": "transformers", "dtype": "float32", "max_new_tokens": 4}
    return evaluation


def _faster(training: dict[str, Any]) -> dict[str, Any]:
    """A training with fewer tokens a batch, as a tiny model on a CPU likes it."""
    training["memory"]["batch_tokens"] = 8192
    return training


def _quick(step: dict[str, Any]) -> dict[str, Any]:
    """A step of `flows.reproduce`: its recipe and the files beside it small, and flags of numbers too."""
    smaller: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
        "flows.curate": _smaller,
        "flows.audit": _smaller,
        "flows.generate": _briefer,
        "flows.train": _few_steps,
        "flows.evaluate": lambda recipe: _curter(recipe) if "answers" in recipe else recipe,
        "flows.compare": _less_compared,
    }
    if step.get("recipe") is not None:
        step["recipe"] = smaller[step["run"]](step["recipe"])
    step["files"] = {name: _few_steps(content) for name, content in step.get("files", {}).items()}
    most = {"--max-tokens": 4, "--max-prompts": 4, "--samples": 1, "--pairs": 8, "--n": 2, "--curve-pairs": 4,
            "--curve-tokens": 4, "--value-pairs": 2, "--position-pairs": 2}  # fmt: skip
    words = step.get("arguments", [])
    for flag, value in pairwise(words):
        if flag in most and int(value) > most[flag]:
            words[words.index(flag) + 1] = str(most[flag])
    return step


def _few_steps(training: dict[str, Any]) -> dict[str, Any]:
    """A training of two steps, on a few pairs each. Its numbers are of no use."""
    if "optimisation" not in training:  # a file of a comparison that is no training
        return training
    training["memory"] = training.get("memory", {}) | {"batch_tokens": 8192}
    optimisation = training["optimisation"]
    for name in ("epochs", "steps"):
        optimisation.pop(name, None)
    training["optimisation"] = optimisation | {"steps": 2, "pairs_per_step": 2}
    return training


def _less_compared(comparison: dict[str, Any]) -> dict[str, Any]:
    """A comparison of two trainings each."""
    comparison["seeds"] = 2
    if "answers" in comparison:
        comparison["answers"]["policy"] = comparison["answers"].get("policy", {}) | {
            "engine": "transformers",
            "dtype": "float32",
            "max_new_tokens": 4,
        }
    return comparison


def _keep_few_prompts(path: Path) -> None:
    table = pq.read_table(path)
    split, ids = table["split"].to_pylist(), table["prompt_id"].to_pylist()
    few = set(PROMPTS_SHOWN)
    for side in ("train", "test"):
        few |= set(sorted({one for one, where in zip(ids, split, strict=True) if where == side})[:FEW])
    pq.write_table(table.filter(pc.is_in(table["prompt_id"], pa.array(sorted(few)))), path)


def _split(name: str, rows: list[dict[str, Any]]) -> dict[str, bytes]:
    card = f"---\nconfigs:\n- config_name: default\n  data_files:\n  - split: {name}\n    path: rows.jsonl\n---\n"
    return {"rows.jsonl": b"".join(orjson.dumps(row) + b"\n" for row in rows), "README.md": card.encode()}


def _rated(number: int) -> dict[str, Any]:
    texts = ("the cat sat on the mat", "dog", "one two three four five", "café déjà vu")
    aspects = ("helpfulness", "honesty", "instruction_following", "truthfulness")
    completions = [
        {
            "model": f"m{at}",
            "response": text,
            "overall_score": float(2 * at + 1),
            "annotations": {aspect: {"Rating": str(at + 1)} for aspect in aspects},
        }
        for at, text in enumerate(texts)
    ]
    return {"source": "unit", "instruction": f"question {number}", "completions": completions}


def _onpolicy(number: int) -> dict[str, Any]:
    texts = ["one two three four five six", "the dog ran and the cat sat", "dog", "the cat sat", "one two"]
    asked = {"role": "user", "content": f"question {number}"}
    sides = {
        side: [asked, {"role": "assistant", "content": texts[at]}] for side, at in (("chosen", 0), ("rejected", 2))
    }
    scores = [0.17, 0.15, 0.11, 0.12, 0.13]
    return {"prompt_id": str(number), "all_generated_responses": texts, "all_rm_scores": scores, **sides}


def _best_of(number: int) -> dict[str, Any]:
    """A row of RewardBench 2; the last two are of one question of Ties."""
    row = {"id": str(number), "prompt": f"q {number}", "chosen": ["one two"], "rejected": ["dog", "cat", "mat"]}
    if number < 6:
        return row | {"subset": ("Factuality", "Precise IF", "Math", "Safety", "Focus")[number % 5]}
    forms = {"id": "ref:0"}, {"id": "tied:0", "chosen": ["one two", "three"]}
    return row | forms[number % 2] | {"subset": "Ties"}


def _two_talks(number: int) -> dict[str, Any]:
    asked = {"role": "user", "content": f"question {number}"}
    said = {"chosen": "one two three four five six", "rejected": "the dog ran and the cat sat"}
    return {side: [asked, {"role": "assistant", "content": text}] for side, text in said.items()} | {"source": "unit"}
