"""HTTP requests to others: bodies and answers with limits, connections to checked addresses, and pushes."""
