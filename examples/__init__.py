"""Jobs to apply, and programs that make the data they train on."""
