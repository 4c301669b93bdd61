"""What Prefect's UI shows of a training: what it changed, and where the model lies."""

from pathlib import Path

from prefect.artifacts import create_markdown_artifact

from flows.runtime.artifacts import in_a_flow_run, slug
from flows.train.output import MODEL
from flows.train.record import TrainingRecord
from flows.train.summary import figures


def show_training(record: TrainingRecord, folder: Path) -> None:
    """What a finished training changed, and where the model lies."""
    if not in_a_flow_run():
        return
    lines = [f"# {record.name}: {record.objective['name']}", "", "| | before | after |", "| --- | ---: | ---: |"]
    lines += [f"| {words} | {before:.4f} | {after:.4f} |" for words, before, after in figures(record)]
    lines += ["", f"Model: `{(folder / MODEL).resolve()}`"]
    key = f"{slug(record.name)}-training"
    create_markdown_artifact("\n".join(lines), key=key, description="What training changed.")
