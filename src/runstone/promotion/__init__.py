"""Changes of the registry as proposals: one branch, one commit, judged, reviewed and merged."""
