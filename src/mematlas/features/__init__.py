"""Features of rows that need no model: how often a row and its n-grams occur in the corpus, and what kind of text it
is."""
