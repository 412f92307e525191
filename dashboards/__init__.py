"""Grafana's dashboards as Python: `make dashboards` writes the JSON files beside these modules."""
