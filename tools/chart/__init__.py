"""What is made from the chart: the table of its values and the manifest for users without Helm."""
