"""Tests of the dashboard, in memory."""
