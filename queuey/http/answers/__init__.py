"""What answers consist of: messages and pages as JSON, and errors."""
