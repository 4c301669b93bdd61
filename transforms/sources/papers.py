"""Papers to cite: those of the methods here, those of the datasets in their sources' files."""

from typing import Final, NamedTuple


class Paper(NamedTuple):
    """A paper on arXiv."""

    key: str
    authors: str  # as BibTeX has them
    title: str
    year: int
    arxiv: str

    @property
    def bibtex(self) -> str:
        """The entry."""
        fields = {
            "title": "{" + self.title + "}",  # a second pair of braces keeps the capitals
            "author": self.authors,
            "year": str(self.year),
            "eprint": self.arxiv,
            "archivePrefix": "arXiv",
            "url": f"https://arxiv.org/abs/{self.arxiv}",
        }
        lines = ",\n".join(f"  {name} = {{{value}}}" for name, value in fields.items())
        return f"@misc{{{self.key},\n{lines}\n}}"


POET: Final = Paper(
    "xiao2025poet",
    "Xiao, Zeguan and Chen, Yun and Chen, Guanhua and Tang, Ke",
    "Towards Bridging the Reward-Generation Gap in Direct Alignment Algorithms",
    2025,
    "2506.09457",
)
SHALLOW: Final = Paper(
    "qi2025shallow",
    "Qi, Xuan and Qiu, Jiahao and Juan, Xinzhe and Wu, Yue and Wang, Mengdi",
    "Shallow Preference Signals: Large Language Model Aligns Even Better with Truncated Data?",
    2025,
    "2505.17122",
)
