"""What brings a model version to where it serves: contexts to build images from, and manifests that run them."""
