"""Process 1 of a pod. It trains nothing, imports no torch, and decides nothing alone: rounds are agreed with its peers."""
