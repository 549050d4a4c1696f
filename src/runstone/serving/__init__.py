"""Models behind HTTP: a URI → a loaded model → a server that speaks MLflow's scoring protocol and Open Inference."""
