"""Workers on a database of their own, in this process or as a process."""
