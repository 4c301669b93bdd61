"""The documentation's pages: their code blocks, commands, links and headings."""

import re
import shlex
from pathlib import Path
from typing import Final, NamedTuple

ROOT: Final = Path(__file__).parents[2]
_FENCE: Final = re.compile(r"^```(?P<language>\S*)[^\n]*\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK: Final = re.compile(r"\]\((?P<target>[^)\s]+)\)")
_HEADING: Final = re.compile(r"^#+ (?P<title>.+)$", re.MULTILINE)

# What no test runs, and why. The list may only shrink.
NOT_RUN: Final = {
    "make test": "runs this very test",
    "torchrun --nproc-per-node 8 -m flows.train flows/configs/train/dpo.yaml": (
        "tests/flows/train/test_training_processes.py launches two"
    ),
    "torchrun --nproc-per-node 8 -m flows.train flows/configs/train/dpo.yaml --memory.shard fsdp "
    "--memory.gradient_checkpointing true --save_steps 50": "tests/flows/train/test_sharded_training.py launches two",
    "torchrun --nproc-per-node 4 -m flows.train flows/configs/train/dpo.yaml --memory.shard fsdp "
    "--memory.gradient_checkpointing true --save_steps 50": "goes on from that one",
    "python -m flows.reproduce --all": "tests/flows/reproduce/test_small_size.py runs all its steps in one process",
    "vllm serve Qwen/Qwen2.5-7B-Instruct --port 8000": "serves until it is stopped; tests/transforms/engines has one",
    "python -m flows.curate flows/configs/mixed.yaml --policy.url http://127.0.0.1:8000/v1": "asks that one",
    "python -m flows.deploy my-recipe.yaml --repo my-org/my-dataset --cron '0 3 * * *'": "serves until it is stopped",
    "prefect server start": "serves until it is stopped; tests/flows/runtime/test_prefect_server.py has one",
    "export PREFECT_API_URL=http://127.0.0.1:4200/api": "of that server",
    "jq -r .error runs/mine/quarantine.jsonl | sort | uniq -c | sort -rn | head": "a tool of others",
}
# Python blocks that are parts of a module.
FRAGMENTS: Final = {"docs/how-to/add-a-source.md", "docs/how-to/add-an-objective.md"}


class Block(NamedTuple):
    """A fenced block."""

    language: str
    text: str


class Page(NamedTuple):
    """A page by its path below the root."""

    name: str

    @property
    def path(self) -> Path:
        return ROOT / self.name

    @property
    def text(self) -> str:
        return self.path.read_text(encoding="utf-8")

    def blocks(self, *languages: str) -> list[Block]:
        """Fenced blocks in order, of some languages or all."""
        found = [Block(match["language"], match["text"]) for match in _FENCE.finditer(self.text)]
        return [block for block in found if not languages or block.language in languages]

    def commands(self) -> list[str]:
        """The command lines of all `sh` blocks."""
        return [command for block in self.blocks("sh") for command in commands_of(block)]

    def links(self) -> list[str]:
        return [match["target"] for match in _LINK.finditer(_FENCE.sub("", self.text))]

    def anchors(self) -> set[str]:
        """What GitHub makes of its headings."""
        titles = [match["title"] for match in _HEADING.finditer(_FENCE.sub("", self.text))]
        return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def commands_of(block: Block) -> list[str]:
    """Its command lines, continued ones joined, comments left out."""
    lines = block.text.replace("\\\n", "").splitlines()
    return [shlex.join(words) if "|" not in line else line for line in lines if (words := shlex.split(line, True))]


def pages() -> list[Page]:
    """In reading order: the README, then the map and what it links to, in its order, then what it leaves out."""
    found = ["README.md", "docs/README.md"]
    found += [f"docs/{link}" for link in Page("docs/README.md").links() if link.endswith(".md")]
    found += sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").rglob("*.md"))
    return [Page(name) for name in dict.fromkeys(found)]


def module_of(command: str) -> str | None:
    """`flows.x` of `python -m flows.x …`."""
    words = shlex.split(command)
    return words[2] if words[:2] == ["python", "-m"] else None


def written_files() -> dict[str, str]:
    """Files that a page tells the reader to write: blocks whose first line is `# NAME.yaml` or `# NAME.py`."""
    found = {}
    for page in pages():
        for block in page.blocks("yaml", "python"):
            if match := re.match(r"# (?P<name>([\w-]+/)?[\w-]+\.(yaml|py))\n", block.text):
                found[match["name"]] = block.text
    return found
