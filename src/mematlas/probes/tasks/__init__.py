"""Distributional memorization (P4): does a model say what its corpus says, where a task's texts occur together?"""
