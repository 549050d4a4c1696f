"""Ways in: what other trackers have recorded becomes experiments, runs and model versions of this repository."""
