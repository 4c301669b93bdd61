"""What Prefect's UI shows of a generation: prompts, pairs, who scored, and where the report lies."""

from base64 import b64encode
from pathlib import Path
from typing import Final

from prefect.artifacts import create_markdown_artifact

from flows.runtime.artifacts import as_code, in_a_flow_run, slug
from transforms.records.generation import GenerationManifest
from transforms.report.codes_in_words import unpaired_in_words
from transforms.report.replicas import replicas_in_words

PICTURES: Final = {
    "funnel": "what became of the prompts",
    "scores": "scores by policy",
    "margins": "margins of the pairs",
}


def show_generation(manifest: GenerationManifest, folder: Path) -> None:
    """The finished run at a glance."""
    if not in_a_flow_run():
        return
    create_markdown_artifact(
        _markdown(manifest, folder), key=f"{slug(manifest.name)}-generation", description="The run at a glance."
    )


def _markdown(manifest: GenerationManifest, folder: Path) -> str:
    counts = manifest.counts
    lines = [f"# {manifest.name}", "", f"Version `{manifest.version}` in `{folder}`.", ""]
    lines += [line for name, words in PICTURES.items() for line in _picture(folder / "figures" / f"{name}.png", words)]
    lines += ["| prompts | what |", "| ---: | --- |", f"| {counts.with_pair:,} | paired ({counts.pairs:,} pairs) |"]
    lines += [f"| {prompts:,} | {unpaired_in_words(why)} |" for why, prompts in counts.without_pair.items()]
    lines += [f"| {counts.quarantined:,} | quarantined |", ""]
    lines += ["| annotator | model | scored | without a score |", "| --- | --- | ---: | ---: |"]
    lines += [
        f"| {as_code(one.label, 60)} | {as_code(one.model.name, 100)} | {one.scored:,} | {unscored:,} |"
        for one, unscored in ((one, sum(one.unscored.values())) for one in manifest.annotators)
    ]
    spend = manifest.completions
    by = f" By {words}." if (words := replicas_in_words(spend)) else ""
    lines += ["", f"**responses**: {spend.generated:,} made, {spend.reused:,} reused from the ledger.{by}"]
    if prices := [one.price for one in manifest.annotators if one.price is not None]:
        lines += ["", f"**price**: {sum(prices):.2f} in the currency of the recipe, where one is known."]
    lines += ["", f"Report: `{(folder / 'report.html').resolve()}`"]
    return "\n".join(lines)


def _picture(path: Path, words: str) -> list[str]:
    """As a data URI: the UI shows pictures in markdown, and no file of this machine. Nothing where there is none."""
    if not path.is_file():
        return []
    return [f"![{words}](data:image/png;base64,{b64encode(path.read_bytes()).decode()})", ""]
