"""Clients of Amazon SQS that a test runs as programs: the AWS CLI, Celery, and the SDKs for Node.js and Go."""
