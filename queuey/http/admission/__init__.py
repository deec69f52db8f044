"""Who is let in: authentication, permission, origins of pages, rates, and requests that go on for long."""
