"""The operator: turns an RFDETRTrainingJob into pods, and local mode into processes, by one pure plan."""
