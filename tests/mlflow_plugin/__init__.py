"""Tests of the plug-in that lets MLflow use a repository; they run on the oldest and the newest MLflow."""
