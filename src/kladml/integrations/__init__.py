"""One library a file. Each is imported only when the library itself is in use."""
