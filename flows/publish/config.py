"""What `python -m flows.publish` is told: its flags, and the parameters of the Prefect flow."""

from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from transforms.versions.semver import Bump, parse_tag

CONTENT: Final = "content"


class PublishConfig(BaseModel):
    """A run, the repository that it goes to, and the name of a token. The token itself is nowhere in here."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    run: Path = Field(description="Folder of a finished run, e.g. runs/starter.")
    repo: Annotated[str, Field(pattern=r"^[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*$")] = Field(
        description="Dataset repository, org/name; made where it is missing."
    )
    tag: str | None = Field(
        None, description="A semantic version (v1.2.0), or `content` for v-<content version>; the next one by default."
    )
    bump: Literal["auto"] | Bump = Field(
        "auto", description="How the next version is counted; auto compares with the last one."
    )
    public: bool = Field(False, description="Make a new repository public; one that is there stays what it is.")
    revision: str | None = Field(
        None, description="Commit that must be the newest there; publish on top of it or not at all."
    )
    token_env: str | None = Field(None, description="Environment variable that holds the Hub's token.")
    token_block: str | None = Field(None, description="Prefect Secret block that holds it.")

    @model_validator(mode="after")
    def _one_of_each(self) -> Self:
        if self.tag is not None and self.bump != "auto":
            message = "tag names the version and bump counts it; give one of them"
            raise ValueError(message)
        if self.token_env is not None and self.token_block is not None:
            message = "token_env and token_block both name the token; give one of them"
            raise ValueError(message)
        if self.tag not in (None, CONTENT) and parse_tag(self.tag) is None:
            message = f"tag {self.tag} is neither a semantic version like v1.2.0 nor `{CONTENT}`"
            raise ValueError(message)
        return self

    @property
    def automatic(self) -> bool:
        """Whether equal content need not be published again. A named version wants its commit in any case."""
        return self.bump == "auto" and self.tag in (None, CONTENT)
