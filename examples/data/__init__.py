"""Small data sets made on the spot from what an installed library brings along: no network, the same bytes for a seed."""
