"""A real two-node Kubernetes on one machine: everything it starts has an id, and everything with an id is ended."""
