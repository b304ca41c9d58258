"""The analysis `probability`: extraction by sampling, (n, p)-discoverable rows."""
