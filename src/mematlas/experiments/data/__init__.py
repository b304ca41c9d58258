"""Training data of experiments: a corpus of planted rows, its tokenizer and its files."""
