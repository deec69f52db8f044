"""Alerts, as Prometheus would raise them: of metrics that were scraped from real daemons, before and after a cause."""
