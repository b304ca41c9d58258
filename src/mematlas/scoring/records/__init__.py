"""The records that scoring writes for every row: score tables and hidden states."""
