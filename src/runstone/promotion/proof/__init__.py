"""Proof from git alone that what is guarded was approved, and that versions lead back to their bytes."""
