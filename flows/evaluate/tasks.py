"""A policy on tasks of lm-evaluation-harness: what would be run, the run, and its files beside evaluation.json."""

import json
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from flows.evaluate.config import PolicyUnderTest
from flows.evaluate.harness import MODULE, find_python, installed, run_harness
from flows.evaluate.tasks_config import TasksConfig
from flows.models.recipe_models import model_record
from flows.runtime.progress import Progress
from flows.versions.output_folder import disk_errors
from transforms.engines.models import ResolvedModel, resolve_model
from transforms.engines.protocol import LOCAL
from transforms.engines.reward_inputs import template_file
from transforms.engines.templated_tokenizer import write_templated_tokenizer
from transforms.errors import EngineError, without_secrets
from transforms.evaluation.task_files import local_tasks_sha256
from transforms.evaluation.task_results import model_commit, task_scores
from transforms.records.tasks import TasksEvaluation

RESULTS: Final = "lm_eval.json"
LOG: Final = "lm_eval.log"
SAMPLES: Final = "lm_eval_samples"
FILES: Final = (RESULTS, LOG, SAMPLES)
_WORK: Final = ".lm_eval"  # where it runs, in the output folder
_OUTPUT: Final = "output"
_TOKENIZER: Final = "tokenizer"
_DONE: Final = "done"  # has the fingerprint of the evaluation whose results lie there; written last


@dataclass(frozen=True)
class TasksPlan:
    """Tasks with everything that they name found and identified."""

    config: TasksConfig
    policy: PolicyUnderTest
    model: ResolvedModel
    template: str | None  # text of another chat template than the model's own
    python: str
    versions: Mapping[str, str]  # in its environment
    files: str | None  # hash of local tasks and their data

    @property
    def identity(self) -> dict[str, Any]:
        """What decides the numbers and is in no setting and no model: versions, local files, the template's text."""
        template = sha256(self.template.encode()).hexdigest() if self.template is not None else None
        return {"versions": dict(self.versions), "files": self.files, "template": template}


def plan_tasks(config: TasksConfig, policy: PolicyUnderTest) -> TasksPlan:
    """Find the policy, the environment of lm_eval and the files of local tasks; nothing is loaded.

    Raises:
        ConfigError: no such Python, no lm_eval there, or local tasks that cannot be read.
        ModelError: no such policy or chat template.
    """
    model = resolve_model(
        policy.model,
        policy.revision,
        dtype=policy.dtype,
        engine="transformers",
        trust_remote_code=policy.trust_remote_code,
    )
    template = template_file(policy.chat_template) if config.apply_chat_template else None
    files = local_tasks_sha256(config.include_path) if config.include_path is not None else None
    python = find_python(config.python)
    return TasksPlan(config, policy, model, template, python, installed(python), files)


def run_tasks(plan: TasksPlan, folder: Path, fingerprint: str, progress: Progress) -> TasksEvaluation:
    """Run lm_eval and read its numbers; its files wait in a folder with a dot until `keep_files`.

    What an evaluation of the same fingerprint left there, which died later on, is taken as it is.

    Args:
        plan: what is run.
        folder: of the evaluation.
        fingerprint: of the evaluation.
        progress: shows its bars.

    Raises:
        EngineError: lm_eval failed, or wrote no results that can be read, or loaded another commit.
        ConfigError: it knows no such task.
        ModelError: the tokenizer cannot be copied for another chat template.
        OutputError: the disk.
    """
    work = folder / _WORK
    done = work / _DONE
    start = time.monotonic()
    with disk_errors(folder):
        if not (done.is_file() and done.read_text(encoding="utf-8") == fingerprint):
            shutil.rmtree(work, ignore_errors=True)
            work.mkdir(parents=True)
            if plan.template is not None:
                where = plan.model.location, plan.model.revision
                write_templated_tokenizer(*where, plan.template, work / _TOKENIZER)
            run_harness(command(plan, work), work / LOG, progress)
            (work / RESULTS).write_text(_written(work / _OUTPUT), encoding="utf-8")
            done.write_text(fingerprint, encoding="utf-8")
    results = _parsed((work / RESULTS).read_text(encoding="utf-8"))
    loaded, meant = model_commit(results), plan.model.identity.revision
    if loaded and meant not in (LOCAL, loaded):
        message = f"lm_eval loaded {plan.model.identity.name} at {loaded}, this evaluation is of {meant}; run it again"
        raise EngineError(message)
    return TasksEvaluation(
        model=model_record(plan.model.identity),
        lm_eval=plan.versions[MODULE],
        packages=dict(plan.versions),
        chat_template=plan.config.apply_chat_template,
        limit=plan.config.limit,
        seed=plan.config.seed,
        scores=task_scores(results),
        results=RESULTS,
        seconds=round(time.monotonic() - start, 3),
    )


def keep_files(folder: Path, tasks: TasksEvaluation | None) -> None:
    """Put lm_eval's files beside where evaluation.json will lie; those of another evaluation go."""
    with disk_errors(folder):
        for name in FILES:
            _remove(folder / name)
        work = folder / _WORK
        if tasks is not None:
            for name in FILES[:2]:
                (work / name).replace(folder / name)
            if samples := sorted((work / _OUTPUT).rglob("samples_*.jsonl")):
                (folder / SAMPLES).mkdir()
                for file in samples:
                    file.replace(folder / SAMPLES / file.name)
        _remove(work)


def command(plan: TasksPlan, work: Path) -> list[str]:
    """The program and its arguments. Model arguments go as JSON: a comma or an equals sign in a path ends nothing."""
    config, policy = plan.config, plan.policy
    model: dict[str, Any] = {
        **config.model_args,
        "pretrained": str(Path(plan.model.location).absolute()) if plan.model.revision is None else plan.model.location,
        "dtype": plan.model.identity.dtype,
    }
    if plan.model.revision is not None:
        model["revision"] = plan.model.revision
    if policy.trust_remote_code:
        model["trust_remote_code"] = True
    if plan.template is not None:
        model["tokenizer"] = str((work / _TOKENIZER).absolute())
    if config.apply_chat_template and policy.chat_template_kwargs:
        model["chat_template_args"] = policy.chat_template_kwargs
    found = [plan.python, "-m", MODULE, "--model", "hf", "--model_args", json.dumps(model)]
    found += ["--tasks", ",".join(config.names), "--output_path", str((work / _OUTPUT).absolute())]
    found += ["--batch_size", str(config.batch_size)]
    if config.include_path is not None:
        found += ["--include_path", str(Path(config.include_path).expanduser().absolute())]
    for flag, value in (
        ("--num_fewshot", config.num_fewshot),
        ("--limit", config.limit),
        ("--device", config.device),
        ("--seed", config.seed),
    ):
        if value is not None:
            found += [flag, str(value)]
    if config.apply_chat_template:
        found.append("--apply_chat_template")
    if config.fewshot_as_multiturn is not None:
        # A flag without a value is understood by releases that take none, too.
        found += ["--fewshot_as_multiturn", *([] if config.fewshot_as_multiturn else ["false"])]
    found += ["--log_samples"] if config.log_samples else []
    found += ["--confirm_run_unsafe_code"] if config.confirm_run_unsafe_code else []
    return found


def _written(output: Path) -> str:
    """Text of the one results file; lm_eval names it by model and time.

    Raises:
        EngineError: there is none or more than one, though lm_eval said nothing is wrong.
    """
    files = sorted(output.rglob("results_*.json"))
    if len(files) != 1:
        message = (
            f"lm_eval ended without an error and left {len(files)} files results_*.json in {output}, expected one; "
            f"{output.parent / LOG} says why"
        )
        raise EngineError(message)
    return without_secrets(files[0].read_text(encoding="utf-8"))


def _parsed(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError as error:
        message = f"lm_eval's results are no JSON: {error}"
        raise EngineError(message) from error
    if not isinstance(found, dict):
        message = f"lm_eval's results are a {type(found).__name__}, expected an object"
        raise EngineError(message)
    return found


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
