"""What Prefect's UI shows of a curation: funnel, consistency, cost and where the report lies."""

from base64 import b64encode
from pathlib import Path

from prefect.artifacts import create_markdown_artifact, create_table_artifact

from flows.runtime.artifacts import as_code, in_a_flow_run, slug
from transforms.records.manifest import Manifest
from transforms.report.codes_in_words import reason_in_words
from transforms.report.pictures import draw_funnel
from transforms.report.remarks import remarks
from transforms.report.replicas import replicas_in_words


def show_result(manifest: Manifest, folder: Path) -> None:
    """Funnel, consistency and figures of a finished run."""
    if not in_a_flow_run():
        return
    key = slug(manifest.name)
    create_table_artifact(_funnel(manifest), key=f"{key}-funnel", description="What became of every pair.")
    create_markdown_artifact(_markdown(manifest, folder), key=f"{key}-result", description="The run at a glance.")


def _funnel(manifest: Manifest) -> list[dict[str, str | int]]:
    counts = manifest.counts
    rows: list[dict[str, str | int]] = [{"pairs": counts.pairs, "what": "came in", "why": ""}]
    rows.append({"pairs": counts.kept, "what": "kept", "why": ""})
    rows += [
        {"pairs": number, "what": "dropped", "why": reason_in_words(reason)}
        for reason, number in counts.dropped.items()
    ]
    rows.append({"pairs": counts.quarantined, "what": "quarantined", "why": "see quarantine.jsonl"})
    return rows


def _markdown(manifest: Manifest, folder: Path) -> str:
    lines = [f"# {manifest.name}", "", f"Version `{manifest.version}` in `{folder}`.", ""]
    # As a data URI: the UI shows pictures in markdown, and no file of this machine.
    lines += [f"![funnel](data:image/png;base64,{b64encode(draw_funnel(manifest.counts)).decode()})", ""]
    if said := remarks(manifest):
        lines += [*(f"- {about}: {as_code(words, 400)}" for about, words in said), ""]
    if manifest.consistency:
        lines += ["| source | against | pairs | consistency | 95 % interval |", "| --- | --- | ---: | ---: | --- |"]
        lines += [
            f"| {rate.source} | {rate.reference} | {rate.pairs} | {rate.rate:.1%} | {rate.low:.1%} – {rate.high:.1%} |"
            for rate in manifest.consistency
        ]
    for name, spend in (("completions", manifest.completions), ("rewards", manifest.scores)):
        if spend:
            by = f" By {words}." if (words := replicas_in_words(spend)) else ""
            lines += ["", f"**{name}**: {spend.generated:,} made, {spend.reused:,} reused from the ledger.{by}"]
    lines += ["", f"Report: `{(folder / 'report.html').resolve()}`"]
    return "\n".join(lines)
