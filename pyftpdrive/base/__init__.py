"""Values, errors, paths and time that every layer shares."""
