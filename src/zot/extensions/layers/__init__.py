"""File lists of image layers: made in the background when a page first asks, merged and searched for pages."""
