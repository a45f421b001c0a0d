"""Many short streams become one scene."""
