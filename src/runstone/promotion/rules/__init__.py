"""What the policy of the base asks of a change, and whether it is met: legality, gates, approvals, bypass."""
