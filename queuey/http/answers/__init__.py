"""Parts of answers: messages and pages as JSON, and errors."""
