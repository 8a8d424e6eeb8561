"""Operations: the queue, dead letters, workers, audit findings."""
