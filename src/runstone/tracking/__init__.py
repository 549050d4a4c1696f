"""Tracking: experiments and runs — begin, log, end, change. State is an argument; `fluent` keeps the active run."""
