"""Commands about a corpus: its index, counts and features of rows."""
