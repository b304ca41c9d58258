"""Running a whole study from a study file: the plan, its steps, and the demo."""
