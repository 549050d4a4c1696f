"""What pipelines do: check and report what is proposed, register what was merged, tell others."""
