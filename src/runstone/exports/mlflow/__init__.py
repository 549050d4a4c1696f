"""Into stores of MLflow's: a folder, a database, a server. What is here is read by the plug-in, and written there."""
