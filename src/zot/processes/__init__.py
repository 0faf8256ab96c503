"""The processes of a server: supervisor, catalog writer, HTTP workers, jobs; or all of it in one."""
