"""Books, articles and visits: an application on dbops."""
