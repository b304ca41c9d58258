"""Data frames that several analyses share: scores, levels, shares, model series, repetitions and copies."""
