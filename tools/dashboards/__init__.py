"""Grafana dashboards as code. A board is plain data: no clock, no network; the same source gives the same JSON."""
