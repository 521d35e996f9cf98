"""Side-by-side figures: our server and its peers, on one machine, in one run, with one driver (`python -m bench.run`)."""
