"""What Prefect's UI shows of a publication: what is on the Hub now."""

from prefect.artifacts import create_markdown_artifact

from flows.publish.release import Publication
from flows.runtime.artifacts import in_a_flow_run, slug


def show_publication(made: Publication) -> None:
    """What is on the Hub now."""
    if not in_a_flow_run():
        return
    lines = [f"# [{made.repo}]({made.url}) {made.tag}", ""]
    lines += ["Nothing new: it was there."] if made.unchanged else [f"- {reason}" for reason in made.why]
    lines += ["", f"Commit `{made.commit}`, version `{made.version}`, {made.files} files, {made.bytes:,} bytes."]
    create_markdown_artifact("\n".join(lines), key=f"{slug(made.repo)}-published", description="On the Hub.")
