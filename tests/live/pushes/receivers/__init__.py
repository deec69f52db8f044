"""What the test of receivers of pushes needs: the library of Standard Webhooks for Node.js."""
