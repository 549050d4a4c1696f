"""MLflow's stores, read: a folder, a database, a server, whatever their version; nothing in them is ever changed."""
