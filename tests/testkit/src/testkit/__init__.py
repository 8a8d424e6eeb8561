"""What the tests share: waits, servers, databases, whole systems and the fault suite."""
