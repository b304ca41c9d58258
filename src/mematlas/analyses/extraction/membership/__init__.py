"""The analysis `inference`: membership inference and exposure."""
