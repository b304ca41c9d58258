"""Items of a task: questions with one right answer each, put to a model with several templates and examples."""
