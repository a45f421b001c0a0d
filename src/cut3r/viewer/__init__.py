"""A web page that shows results as they come."""
