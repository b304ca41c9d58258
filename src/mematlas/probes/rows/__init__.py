"""What probes of single rows share: options, the rows with what the model recites of them, and the folder."""
