"""The dashboard, by calls and in Chromium."""
