"""Scoring tables in batch: files in, predictions out, in chunks, on this machine or on a cluster."""
