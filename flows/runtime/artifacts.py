"""What Prefect's UI shows of any run: its progress. What a command shows beside it is in the command's own room."""

from uuid import UUID

from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.context import FlowRunContext

from flows.runtime.progress import Progress
from transforms.text import one_line, visible_plain


def in_a_flow_run() -> bool:
    """Whether there is a flow run that an artifact could belong to."""
    return FlowRunContext.get() is not None


def show_progress(progress: Progress) -> None:
    """Let a run's bars appear in the UI too, where there is a flow run to show them in."""
    if in_a_flow_run():
        progress.ui = _update


def slug(name: str) -> str:
    """`name` as the start of an artifact's key: lower case, letters, digits and dashes."""
    return "".join(c if c.isalnum() else "-" for c in name.lower()).strip("-")


def as_code(name: str, limit: int = 80) -> str:
    """A stranger's words for a Markdown table: as code, without what would end it or the cell."""
    safe = one_line(visible_plain(name), limit).replace("`", "'").replace("|", "/")
    return f"`{safe}`"


def _update(artifact: UUID | None, description: str, percent: float) -> UUID:
    if artifact is None:
        created = create_progress_artifact(percent, description=description)
        return created if isinstance(created, UUID) else UUID(str(created))
    update_progress_artifact(artifact, percent, description=description)
    return artifact
