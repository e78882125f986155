"""The experiments of this project. Every module here is imported, and the classes it registers can be named by a config."""
