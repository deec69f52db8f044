"""Clients of Amazon SQS that a test runs as programs: the AWS CLI, Celery, and the SDKs for Node.js and Go.

The library of Celery is kombu 5.6: with kombu 5.7.0, a worker receives nothing more after the connection of one of its
receives broke.
"""
