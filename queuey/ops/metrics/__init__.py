"""What was counted, as metrics: nothing else knows the client library of Prometheus."""
