"""What models keep of made-up facts: the loss of every fact, what a showing brings, what is left, and the finding."""
