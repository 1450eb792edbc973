"""What runs in a pod: a launcher as process 1, and workers that train RF-DETR by its own Lightning primitives."""
