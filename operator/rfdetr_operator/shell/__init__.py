"""Effects. The shell reads the truth, asks the core, and executes what it says; it decides nothing."""
