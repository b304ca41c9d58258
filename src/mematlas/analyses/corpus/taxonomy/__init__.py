"""The analysis `taxonomy`: recitation, reconstruction and recollection, and what predicts them."""
