"""training.html of a training: its record and its log as a page."""

import json
from pathlib import Path

from flows.train.record import TrainingRecord
from flows.train.summary import figures
from transforms.report.training_page import Training, render_training


def training_page(record: TrainingRecord, metrics: Path) -> str:
    """The page.

    Args:
        record: what the training says of itself.
        metrics: its metrics.jsonl.
    """
    lines = [json.loads(line) for line in metrics.read_text(encoding="utf-8").splitlines()]
    training = Training(
        name=record.name,
        objective=record.objective["name"],
        settings={name: value for name, value in record.objective.items() if name != "name"},
        model=record.model,
        data=record.data.path,
        version=record.data.version,
        examples=record.data.examples,
        test_examples=record.data.test_examples,
        steps=record.trained.steps,
        kept_step=record.kept.step if record.kept else None,
        figures=figures(record),
        before=record.before,
        after=record.after,
        device=record.device,
        seconds=sum(record.seconds.values()),
        packages=record.packages,
        git_commit=record.git_commit,
        fingerprint=record.fingerprint,
        finished_at=record.finished_at,
    )
    return render_training(training, lines)
