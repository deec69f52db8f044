"""Pages of other origins in a real browser: the browser, the pages, the server that they come from, and the tests."""
