"""What is left of rows that were shown a few times: the excess, its law, and the finding."""
