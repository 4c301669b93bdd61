"""What runs: the order of the stages, retries, paths and progress. The only package that knows Prefect."""
