"""What Prefect's UI shows of a comparison: the answer, and each variant's accuracy at each budget."""

from pathlib import Path

from prefect.artifacts import create_markdown_artifact

from flows.runtime.artifacts import in_a_flow_run, slug
from transforms.records.comparison import Comparison
from transforms.report.comparison_words import AT, headline, points, share


def show_comparison(found: Comparison, folder: Path) -> None:
    """The answer, and each variant's accuracy at each budget."""
    if not in_a_flow_run():
        return
    lines = [f"# {found.name}: {headline(found)}", ""]
    lines += [f"| | variant | accuracy | minus {found.first}, points |", "| --- | --- | ---: | ---: |"]
    lines += [
        f"| {AT[one.budget]} | {one.variant} | {share(one.accuracy)} "
        f"| {points(one.difference.accuracy) if one.difference else ''} |"
        for one in found.standings
    ]
    lines += ["", f"{len(found.failures)} failed. Report: `{(folder / 'comparison.html').resolve()}`"]
    key = f"{slug(found.name)}-comparison"
    create_markdown_artifact("\n".join(lines), key=key, description="Whether curation helps.")
