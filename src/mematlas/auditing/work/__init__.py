"""The audit of one text: how much of a book or a source tree does a model recite (K11)?"""
