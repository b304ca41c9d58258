"""The audit of a benchmark: does a model know its questions, or the order of their choices?"""
