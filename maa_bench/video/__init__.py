"""Videos of generated policies, drawn from the finished cells of a run."""
