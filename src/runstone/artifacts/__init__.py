"""Content: the bytes of artifacts, in DVC's cache and on DVC's remotes, named by their digests."""
