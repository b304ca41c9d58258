"""Arrays in, arrays out; strangers to the model."""
