"""The API of Amazon SQS over the queues of an application."""
