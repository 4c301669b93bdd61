"""What Prefect's UI shows of an audit: its advice and the rate of every cut."""

from pathlib import Path

from prefect.artifacts import create_markdown_artifact

from flows.runtime.artifacts import in_a_flow_run, slug
from transforms.records.audit import Audit


def show_audit(audit: Audit, folder: Path) -> None:
    """Advice and rates of a finished audit."""
    if not in_a_flow_run():
        return
    lines = [f"# {audit.name}: audit", "", *[f"- {sentence}" for sentence in audit.advice], ""]
    lines += ["| cut | consistency | 95 % interval | tokens saved | verdict |", "| --- | ---: | --- | ---: | --- |"]
    lines += [
        f"| {m.name} | {m.consistency.value:.1%} | {m.consistency.low:.1%} – {m.consistency.high:.1%} "
        f"| {m.tokens_saved:.1%} | {m.verdict} |"
        for m in audit.methods
    ]
    lines += ["", f"Report: `{(folder / 'audit.html').resolve()}`"]
    key = f"{slug(audit.name)}-audit"
    create_markdown_artifact("\n".join(lines), key=key, description="What truncation would do to this data.")
