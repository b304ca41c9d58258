"""What is known of a row before any model is asked: how often its n-grams and the row itself stand in the corpus, and
what kind of text it is."""
