"""Recall of facts by name (P5): does a model give the identifier of a label, and does it so for frequent ones only?"""
