"""SQS: boto3, the AWS CLI, Celery, and the SDKs for Node.js and Go before a daemon, and histories with faults.

The library of Celery is kombu 5.6: with kombu 5.7.0, a worker receives nothing more after the connection of one of its
receives broke.
"""
