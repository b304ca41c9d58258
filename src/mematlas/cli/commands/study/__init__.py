"""Commands that make a study: rows are scored, shards planned, results checked."""
