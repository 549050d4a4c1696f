"""Ways out: tables of runs, and stores of MLflow's."""
