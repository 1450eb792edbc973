"""What a careful user would write without this project: stock programs, at their best settings."""
