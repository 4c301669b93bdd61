"""Trainers that read curated shards as token ids and never append a token."""
