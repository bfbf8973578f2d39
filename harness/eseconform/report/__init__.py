"""Reports: each is rendered from a :class:`eseconform.results.RunResult` and knows nothing else."""
