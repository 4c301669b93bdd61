"""What leaves the machine with a version."""

from transforms.dataset.redaction import public, public_path


def test_paths_of_a_machine_are_not_published() -> None:
    assert public_path("/home/someone/data.jsonl") == "data.jsonl"
    assert public_path("s3://key:secret@bucket/x.parquet") == "s3://bucket/x.parquet"
    assert public_path("openbmb/UltraFeedback") == "openbmb/UltraFeedback"
    assert public_path("file:///home/someone/data.jsonl") == "data.jsonl"


def test_a_recipe_is_published_without_the_paths_of_a_machine() -> None:
    recipe = {"sources": [{"path": "/home/someone/x.jsonl", "limit": 3}], "ledger": "s3://k:v@bucket/l", "proxy": None}
    shown = {"sources": [{"path": "x.jsonl", "limit": 3}], "ledger": "s3://bucket/l", "proxy": None}
    assert public(recipe) == shown


def test_what_is_public_stays_as_it_is() -> None:
    recipe = {"sources": [{"path": "~/x.jsonl"}, {"path": "file:///d/y.jsonl"}], "ledger": "s3://k:v@bucket/l"}
    assert public(public(recipe)) == public(recipe)
