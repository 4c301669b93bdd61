"""Two versions of a dataset: what became other, why, and what the new one is called.

version_rows      a version's rows, kept, dropped and quarantined
matched_rows      the rows of both, side by side
settings_changes  what differs between their manifests
verdict_rules     what a verdict would have been by the other's rules
causes            why a pair changed
shifts            how far their numbers are apart
semver            major, minor, patch
"""
