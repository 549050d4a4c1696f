"""The text of a request: what would change, in Markdown, for people to judge."""
