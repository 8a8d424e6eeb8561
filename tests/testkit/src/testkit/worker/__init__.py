"""Workers on their own databases, in this process or as a process."""
