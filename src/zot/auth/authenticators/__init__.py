"""The ways in, one a file. Each says who somebody is, None if it cannot tell, or raises Unavailable."""
