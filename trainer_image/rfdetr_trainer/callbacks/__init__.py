"""Lightning callbacks that are appended to RF-DETR's own, one concern each."""
