"""What the tests in a browser need: the browser, a page, and the server that the page comes from."""
