"""What may go: which bytes and runs nobody needs any more, and taking them away."""
