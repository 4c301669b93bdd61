"""How a refresh is run; a parameter of its deployment."""

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from flows.publish.config import PublishConfig
from flows.recipe.curation import Recipe
from flows.runtime.config_files import problems_in_words
from transforms.errors import ConfigError


class Attempts(BaseModel):
    """How often and how long a refresh is tried. Batches of model calls are tried four times each besides."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    timeout_seconds: Annotated[float, Field(gt=0)] | None = Field(
        None, description="Seconds that an attempt may take; one that took longer fails, and keeps what it paid for."
    )
    retries: Annotated[int, Field(ge=0, le=50)] = Field(
        3, description="Further attempts after a source, a model server or the Hub was down. A wrong recipe gets none."
    )
    delay_seconds: Annotated[float, Field(ge=0)] = Field(
        60, description="Seconds before the first further attempt; each later one waits twice as long."
    )


def publish_target(
    recipe: Recipe, repo: str, public: bool, token_env: str | None, token_block: str | None
) -> PublishConfig:
    """Where a refreshed dataset is published, checked.

    Raises:
        ConfigError: a value that does not fit, by its name.
    """
    try:
        return PublishConfig(
            run=Path(recipe.output.dir), repo=repo, public=public, token_env=token_env, token_block=token_block
        )
    except ValidationError as error:
        raise ConfigError(problems_in_words(error, lambda at: ".".join(map(str, at)))) from error
