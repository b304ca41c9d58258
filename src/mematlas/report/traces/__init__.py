"""The page of traced rows (`mematlas trace-states`)."""
