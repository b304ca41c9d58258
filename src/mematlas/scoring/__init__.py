"""Scores rows with models, in batches that change no result: options, jobs, workers, engines and records."""
